import { createRequire } from "node:module";
import { StripeSync } from "@supabase/stripe-sync-engine";
import type pg from "pg";
import type { Sql } from "postgres";
import type { Stripe } from "stripe";
import type { StoredEvent } from "../stack/stand_ins/stripe/events.ts";
import {
  connectPool,
  makeTenants,
  process,
  Shop,
  type Signed,
  sign,
  WEBHOOK_SECRET,
} from "./billing_events.ts";
import { type Comparison, compare } from "./compare.ts";

const CALLERS = 16;
const ROUNDS = 5;
const TENANTS = 25;
const EVENTS_OF_ONE = 160;

/** Events that come one after another; what is not in one chain may come at the same time. */
type Chain = Signed[];

interface Load {
  title: string;
  callers: number;
  operations: number;
  /** The chains of one round, signed now. */
  make: () => Promise<Chain[]>;
  /** What Meterbase may answer beside `processed`. */
  also?: readonly string[];
  /** Throws unless both hold what the events say. */
  check: () => Promise<void>;
}

/**
 * What a webhook costs from its signature to its commit, beside Supabase's engine that mirrors Stripe's objects, with the
 * same signed bodies over the same driver and number of connections. The engine asks nothing of Stripe here.
 */
export async function benchWebhooks(sql: Sql, url: string): Promise<Comparison[]> {
  // Its build for ES modules does not find its migrations, and says nothing of that.
  const { runMigrations } = createRequire(import.meta.url)(
    "@supabase/stripe-sync-engine",
  ) as typeof import("@supabase/stripe-sync-engine");
  await runMigrations({ databaseUrl: url, schema: "stripe" });
  const [engine] = await sql`select to_regclass('stripe.subscriptions') is not null as is_there`;
  if (!engine?.is_there) throw new Error("the sync engine's migrations failed");

  const comparisons: Comparison[] = [];
  for (const load of [
    await lifecycles(sql, { callers: 1, isSpread: true }),
    await lifecycles(sql, { callers: 1, isSpread: false }),
    await lifecycles(sql, { callers: CALLERS, isSpread: true }),
    await oneSubscription(sql, 1),
    await oneSubscription(sql, CALLERS),
  ]) {
    const ours = await connectPool(url, load.callers);
    const theirs = syncEngine(url, load.callers);
    comparisons.push(await compareBoth(load, ours, theirs));
    await load.check();
    await Promise.all([ours.end(), theirs.close()]);
  }
  return comparisons;
}

function compareBoth(load: Load, ours: pg.Pool, theirs: StripeSync): Promise<Comparison> {
  let chains: Chain[] = [];
  const deliver = async (send: (signed: Signed) => Promise<void>) => {
    let next = 0;
    const caller = async () => {
      for (let chain = chains[next++]; chain; chain = chains[next++]) {
        for (const signed of chain) await send(signed);
      }
    };
    await Promise.all(Array.from({ length: load.callers }, caller));
  };
  return compare(
    load.title,
    "events",
    [
      {
        name: "stripe-sync-engine: the object's row",
        operations: load.operations,
        prepare: async () => {
          chains = await load.make();
          const events = chains.reduce((sum, chain) => sum + chain.length, 0);
          if (events !== load.operations) throw new Error(`${events} events instead of ${load.operations}`);
        },
        run: () => deliver(({ body, signature }) => theirs.processWebhook(body, signature)),
      },
      {
        name: "Meterbase: inbox, plan, credits, payments, audit, mails",
        operations: load.operations,
        run: () => deliver((signed) => process(ours, signed, load.also)),
      },
    ],
    ROUNDS,
  );
}

function syncEngine(connectionString: string, max: number): StripeSync {
  return new StripeSync({
    schema: "stripe",
    stripeSecretKey: "sk_test_bench",
    stripeWebhookSecret: WEBHOOK_SECRET,
    autoExpandLists: false,
    backfillRelatedEntities: false,
    revalidateObjectsViaStripeApi: [],
    poolConfig: { connectionString, max, keepAlive: true, idleTimeoutMillis: 0 },
  });
}

/**
 * Tenants who subscribe, pay, upgrade and pay the difference. Stripe makes most of these events within two seconds; the
 * engine keeps the first that it gets of each second, so that it has less to do: `isSpread` gives each a second of its own.
 */
async function lifecycles(
  sql: Sql,
  { callers, isSpread }: { callers: number; isSpread: boolean },
): Promise<Load> {
  const bought: string[] = [];
  const make = async () => {
    let at = Date.now() - 300_000;
    const shop = new Shop(() => new Date(at));
    const chains: Chain[] = [];
    for (const tenantId of await makeTenants(sql, TENANTS)) {
      at += 1000;
      const subscription = shop.subscribe(tenantId);
      at += 1000;
      shop.upgrade(subscription);
      bought.push(subscription.id);
      const events = shop.take();
      const first = events[0]?.created ?? 0;
      chains.push(await signAll(events.map((e, i) => (isSpread ? { ...e, created: first - 3600 + i } : e))));
    }
    return chains;
  };
  const check = async () => {
    const [held] = await sql`
      select
        (select count(*) from stripe.subscriptions where id = any (${bought}))::int as theirs,
        (select count(*) from stripe.subscriptions s join stripe.subscription_items i on i.subscription = s.id
          where s.id = any (${bought}) and s.status = 'active' and i.price = 'price_enterprise_monthly')::int as theirs_now,
        (select count(*) from public.subscriptions s join public.tenants t on t.id = s.tenant_id
          where s.stripe_subscription_id = any (${bought}) and s.status = 'active' and t.plan_id = 'enterprise')::int as ours_now,
        (select count(*) from public.subscriptions s join public.payments p using (tenant_id)
          where s.stripe_subscription_id = any (${bought}) and p.status = 'succeeded')::int as payments,
        (select count(distinct s.tenant_id) from public.subscriptions s join public.alert_notifications n using (tenant_id)
          where s.stripe_subscription_id = any (${bought}) and n.kind = 'billing')::int as mailed,
        (select count(*) from public.invoices o join stripe.invoices i on i.id = o.stripe_invoice_id
          where o.stripe_subscription_id = any (${bought}) and i.status::text = o.status)::int as invoices_alike`;
    const all = bought.length;
    if (
      held?.theirs !== all ||
      held.ours_now !== all ||
      held.payments !== 2 * all ||
      held.mailed !== all ||
      (isSpread && (held.theirs_now !== all || held.invoices_alike !== 2 * all))
    )
      throw new Error(`of ${all} subscriptions: ${JSON.stringify(held)}`);
    if (!isSpread) {
      const { theirs_now, invoices_alike } = held;
      console.error(
        `  the engine has ${theirs_now} of ${all} plans and ${invoices_alike} of ${2 * all} paid invoices`,
      );
    }
  };
  return {
    title: `${callers === 1 ? "1 connection" : `${callers} callers`}, a tenant's 12 events ${isSpread ? "a second apart" : "as Stripe dates them"}`,
    callers,
    operations: TENANTS * 12,
    make,
    check,
  };
}

/** One subscription that its tenant cancels and resumes, over and over; several callers bring the events out of order. */
async function oneSubscription(sql: Sql, callers: number): Promise<Load> {
  const [tenantId] = (await makeTenants(sql, 1)) as [string];
  let at = Date.now() - 7_200_000;
  const shop = new Shop(() => new Date(at));
  const subscription: Stripe.Subscription = shop.subscribe(tenantId);
  let opening = shop.take();
  const make = async () => {
    const events: StoredEvent[] = opening;
    opening = [];
    while (events.length < EVENTS_OF_ONE) {
      at += 1000;
      shop.toggleEnd(subscription);
      events.push(...shop.take());
    }
    const signed = await signAll(events);
    return callers === 1 ? [signed] : signed.map((one) => [one]);
  };
  const check = async () => {
    const [held] = await sql`
      select s.cancel_at_period_end as ours, t.cancel_at_period_end as theirs, e.failed
      from public.subscriptions s
      join stripe.subscriptions t on t.id = s.stripe_subscription_id
      cross join (select count(*)::int as failed from public.stripe_events where status = 'failed') e
      where s.stripe_subscription_id = ${subscription.id}`;
    const { cancel_at_period_end: isEnding } = subscription;
    if (held?.ours !== isEnding || held.theirs !== isEnding || held.failed !== 0)
      throw new Error(`the end was asked for: ${isEnding}, ${JSON.stringify(held)}`);
  };
  return {
    title: `${callers === 1 ? "1 connection" : `${callers} callers`}, events of one subscription`,
    callers,
    operations: EVENTS_OF_ONE,
    make,
    check,
    ...(callers > 1 && { also: ["stale"] }),
  };
}

async function signAll(events: StoredEvent[]): Promise<Signed[]> {
  const signed: Signed[] = [];
  for (const event of events) signed.push(await sign(event));
  return signed;
}
