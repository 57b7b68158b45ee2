import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import Stripe from "stripe";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { type Server, startServer } from "../../scripts/stack/server.ts";
import { type StripeStandIn, startStripe } from "../../scripts/stack/stand_ins/stripe/index.ts";
import type { Rpc } from "../../supabase/functions/_shared/database.ts";
import { ApiError, withErrors } from "../../supabase/functions/_shared/http.ts";
import { recover } from "../../supabase/functions/billing/recover.ts";
import { handleWebhook } from "../../supabase/functions/stripe-webhook/handler.ts";
import { Client } from "../helpers/connections.ts";
import { submitForm } from "../helpers/stripe.ts";
import { until } from "../helpers/until.ts";
import { newTenant } from "../helpers/usage.ts";

let database: Database;
let observer: Client;
let standIn: StripeStandIn;
let stripe: Stripe;
let webhook: Server;
const now = () => new Date();

beforeAll(async () => {
  database = await startDatabase({ flush: true, restarts: true });
  observer = new Client(database.databaseUrl);
  const prices = [
    {
      id: "price_enterprise_monthly",
      product: "Enterprise",
      unitAmount: 14_900,
      currency: "usd",
      interval: "month" as const,
    },
  ];
  standIn = await startStripe({ prices });
  const { port } = standIn;
  stripe = new Stripe(standIn.secretKey, { protocol: "http", host: "127.0.0.1", port });
  const deps = { secrets: [standIn.webhookSecret], service, now };
  webhook = await startServer(withErrors((request) => handleWebhook(request, deps)));
});
beforeEach(() => standIn.deliverTo(webhook.url));
afterAll(async () => {
  await standIn?.stop();
  await webhook?.stop();
  await observer?.end();
  await database?.stop();
});

/** The data API as the function sees it: each call on a connection of its own, 503 when that is lost. */
const service: Rpc = async (name, args) => {
  const client = new Client(database.databaseUrl, "webhook");
  try {
    const rows = await client.attempt((sql) => {
      if (name === "begin_stripe_recovery")
        return sql`select to_jsonb(r) as row from public.begin_stripe_recovery() r`;
      if (name === "get_unknown_stripe_events")
        return sql`
          select public.get_unknown_stripe_events(array(select jsonb_array_elements_text(${sql.json(args.event_ids as string[])}))) as row`;
      if (name === "complete_stripe_recovery")
        return sql`select public.complete_stripe_recovery(${args.until as string}) as row`;
      return sql`select to_jsonb(a) as row from public.ingest_stripe_event(${sql.json(args.event as never)}) a`;
    });
    if (!rows) throw new ApiError(503, "database_unavailable", "The database cannot be reached; try again.");
    return rows.map(({ row }) => row);
  } finally {
    await client.end();
  }
};

const startedAt = () =>
  observer.attempt(
    async (sql) => (await sql`select pg_postmaster_start_time()::text as at`)[0]?.at as string,
  );

/**
 * Pays, and kills the database while an event is being taken in: its receipt is written, and it waits to be applied.
 * `meanwhile` runs before.
 */
async function killWhileApplying(
  { tenantId, pageUrl }: { tenantId: string; pageUrl: string },
  meanwhile = () => {},
): Promise<void> {
  const holder = new Client(database.databaseUrl, "holder");
  await holder.insist((sql) => sql`begin`);
  await holder.insist((sql) => sql`select 1 from public.tenants where id = ${tenantId} for update`);
  await submitForm(pageUrl, { card: "works" });
  await until(async () => {
    const waiting = await observer.insist(
      (sql) => sql`
        select from pg_stat_activity where application_name = 'webhook' and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0;
  });
  meanwhile();
  const before = await startedAt();
  const pidFile = await readFile(join(database.dataDir as string, "postmaster.pid"), "utf8");
  process.kill(Number(pidFile.split("\n")[0]), "SIGKILL");
  await until(async () => ((await startedAt()) ?? before) !== before, 60_000);
  await holder.end();
}

/** A tenant that has come as far as Stripe's page. */
async function toCheckout(): Promise<{ tenantId: string; pageUrl: string }> {
  const tenantId = await observer.insist((sql) => newTenant(sql, "free"));
  await observer.insist(
    (sql) => sql`
      with owner as (insert into auth.users (id, email) values (${randomUUID()}, ${`${tenantId}@example.com`}) returning id)
      insert into public.memberships (tenant_id, user_id, role) select ${tenantId}, id, 'owner' from owner`,
  );
  const session = await stripe.checkout.sessions.create({
    mode: "subscription",
    line_items: [{ price: "price_enterprise_monthly", quantity: 1 }],
    customer_email: `${tenantId}@example.com`,
    subscription_data: { metadata: { tenant_id: tenantId } },
    success_url: "http://127.0.0.1:3000/",
  });
  return { tenantId, pageUrl: session.url as string };
}

/** What is there of a tenant: its plan, and how much of each that there must be one of. */
const stateOf = (tenantId: string) =>
  observer.insist(
    async (sql) =>
      (
        await sql`
          select t.plan_id as plan,
            (select count(*)::int from public.subscriptions s where s.tenant_id = t.id and s.is_in_force) as subscriptions,
            (select count(*)::int from public.invoices i where i.tenant_id = t.id and i.status = 'paid') as invoices,
            (select count(*)::int from public.payments p where p.tenant_id = t.id) as payments,
            (select coalesce(sum(l.amount), 0)::int from public.credit_ledger l where l.tenant_id = t.id) as credits,
            (select count(*)::int from public.alert_notifications n
              where n.tenant_id = t.id and n.payload ->> 'template' = 'payment_succeeded') as mails
          from public.tenants t where t.id = ${tenantId}`
      )[0] as Record<string, unknown>,
  );
const BEFORE = { plan: "free", subscriptions: 0, invoices: 0, payments: 0, credits: 0, mails: 0 };
const AFTER = { plan: "enterprise", subscriptions: 1, invoices: 1, payments: 1, credits: 1_000, mails: 1 };

test("a database that dies between receipt and application loses nothing: Stripe sends again what it got no answer for", async () => {
  const checkout = await toCheckout();
  await killWhileApplying(checkout);
  await standIn.settled();
  expect(await stateOf(checkout.tenantId)).toEqual(AFTER);
}, 120_000);

test("and where Stripe does not, its list of events is read", async () => {
  const checkout = await toCheckout();
  // The other events go where nobody is, and so does the second attempt.
  await killWhileApplying(checkout, () => standIn.deliverTo("http://127.0.0.1:9/"));
  expect(await stateOf(checkout.tenantId)).toEqual(BEFORE);

  const shop = { stripe, redirectUrls: [], prices: {} };
  const recovery = await recover({ service, now, shop });
  expect(recovery.events.processed).toBeGreaterThan(0);
  expect(await stateOf(checkout.tenantId)).toEqual(AFTER);

  // A second time there is nothing left.
  expect((await recover({ service, now, shop })).events).toEqual({});
}, 120_000);
