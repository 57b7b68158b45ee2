import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import { type Client, createMeterbase } from "../../src/index.ts";
import { Sink } from "../helpers/sink.ts";
import { event, ingest, invoice, subscription } from "../helpers/stripe_events.ts";
import { until } from "../helpers/until.ts";

const TWO_MINUTES = 120_000;

let stack: Stack;
let sql: Sql;
let sink: Sink;
let service: Client;

beforeAll(async () => {
  stack = await startStack({ postgres: "system", port: 0 });
  sql = postgres(stack.info.databaseUrl, { max: 1, onnotice: () => {} });
  sink = new Sink(stack.info.webhookSinkUrl);
  service = supabaseClient(stack.info.url, stack.info.secretKey);
}, 120_000);
afterAll(async () => {
  await sql?.end();
  await stack?.stop();
});

interface Mail {
  to: string[];
  subject: string;
  text: string;
}
async function mailsTo(address: string): Promise<Mail[]> {
  const all = (await (await fetch(`${stack.info.mailboxUrl}/messages`)).json()) as Mail[];
  return all.filter(({ to }) => to.includes(address));
}

/** The result of a call of the data API. */
async function answered<T>(
  call: PromiseLike<{ data: T; error: { message: string } | null }>,
): Promise<NonNullable<T>> {
  const { data, error } = await call;
  if (error || data === null) throw new Error(error?.message ?? "nothing was answered");
  return data as NonNullable<T>;
}

test("with pg_cron and pg_net alone, what crosses a threshold, an invite and a bill reach whom they are for, within two minutes", async () => {
  const [extension] = await sql`select extname from pg_extension where extname = 'pg_cron'`;
  expect(extension).toEqual({ extname: "pg_cron" });
  // Past the first delivery, which the start has asked for.
  await until(async () => {
    const [run] = await sql`
      select from cron.job_run_details d join cron.job j using (jobid)
      where j.jobname = 'meterbase_deliver_alerts' and d.status = 'succeeded'`;
    return run !== undefined;
  }, TWO_MINUTES);

  const owner = supabaseClient(stack.info.url, stack.info.publishableKey);
  const email = `${randomUUID()}@example.com`;
  const signUp = await owner.auth.signUp({ email, password: "correct horse battery staple" });
  if (signUp.error) throw signUp.error;
  const tenant = await answered(owner.rpc("create_tenant", { name: "Acme", plan_id: "trial" }));
  const tenant_id = tenant.id;

  const [address, guest] = [`${randomUUID()}@example.com`, `${randomUUID()}@example.com`];
  const [slackPath, hookPath] = [`/slack/${randomUUID()}`, `/hook/${randomUUID()}`];
  const configs = {
    email: { recipients: [address] },
    slack: { webhook_url: sink.url + slackPath, channel: "#alerts" },
    webhook: { url: sink.url + hookPath },
    pagerduty: { routing_key: "0123456789abcdef" },
  };
  const channels = Object.entries(configs).map(([type, config]) => ({
    tenant_id,
    type: type as keyof typeof configs,
    name: type,
    config,
  }));
  const rule = { tenant_id, name: "Tokens", type: "usage_threshold", metric: "tokens" };
  await answered(owner.from("alert_channels").insert(channels).select("id"));
  await answered(owner.from("alert_rules").insert(rule).select("id"));

  const startedAt = Date.now();
  const within = async (holds: () => Promise<boolean>) => {
    await until(holds, TWO_MINUTES - (Date.now() - startedAt));
    return Math.round((Date.now() - startedAt) / 1_000);
  };
  expect(
    await createMeterbase(service).quota.consumeQuota(tenant_id, "tokens", { amount: 8_500 }),
  ).toMatchObject({ allowed: true });
  await createMeterbase(owner).team.inviteMember(tenant_id, guest, "viewer");
  await bill(tenant_id);

  const pages = async () => (await sink.requestsTo("/v2/enqueue")).map(({ body }) => JSON.parse(body));
  const arrivals: Record<string, () => Promise<boolean>> = {
    email: async () => (await mailsTo(address)).length > 0,
    slack: async () => (await sink.requestsTo(slackPath)).length > 0,
    webhook: async () => (await sink.requestsTo(hookPath)).length > 0,
    pagerduty: async () => (await pages()).length > 0,
    invite: async () => (await mailsTo(guest)).length > 0,
    billing: async () => (await mailsTo(email)).some(({ subject }) => /payment/i.test(subject)),
  };
  const seconds: Record<string, number> = {};
  await Promise.all(
    Object.entries(arrivals).map(async ([name, hasArrived]) => {
      seconds[name] = await within(hasArrived);
    }),
  );
  console.log(`seconds until each arrived: ${JSON.stringify(seconds)}`);

  const [alert] = await answered(
    owner.from("alerts").select("id, status, severity, data").eq("tenant_id", tenant_id),
  );
  expect(alert).toMatchObject({ status: "open", severity: "medium", data: { usage: { percentage: 85 } } });
  const [mail, ...otherMails] = await mailsTo(address);
  expect(otherMails).toEqual([]);
  expect(mail).toMatchObject({
    subject: "[MEDIUM] Tokens Usage Warning: Acme",
    text: expect.stringContaining("85%"),
  });
  expect((await mailsTo(guest))[0]?.text).toMatch(/token=inv_[0-9a-f]+/);

  const [slack, ...otherSlack] = (await sink.requestsTo(slackPath)).map(({ body }) => JSON.parse(body));
  expect(otherSlack).toEqual([]);
  expect(slack).toMatchObject({
    channel: "#alerts",
    blocks: [{ type: "header" }, { type: "section" }, {}, {}],
  });
  const [hook] = await sink.requestsTo(hookPath);
  expect(hook?.headers).toMatchObject({ "webhook-signature": expect.stringMatching(/^v1,/) });
  expect(JSON.parse(hook?.body ?? "")).toMatchObject({
    type: "alert.opened",
    data: { id: alert?.id, tenant_name: "Acme" },
  });
  const [trigger] = await pages();
  expect(trigger).toMatchObject({
    routing_key: "0123456789abcdef",
    event_action: "trigger",
    payload: { severity: "warning" },
  });

  const columns = "kind, status, attempts, sent_at, last_error, channel_id";
  const notifications = () =>
    answered(owner.from("alert_notifications").select(columns).eq("tenant_id", tenant_id));
  await within(async () => (await notifications()).every(({ status }) => status === "sent"));
  expect(await notifications()).toHaveLength(4); // members see those of alerts
  expect(await notifications()).toEqual(
    Array.from({ length: 4 }, () =>
      expect.objectContaining({
        kind: "alert",
        status: "sent",
        attempts: 1,
        sent_at: expect.any(String),
        last_error: null,
      }),
    ),
  );

  // What ends is told as well, to PagerDuty under the key that it knows.
  const resolvedAt = Date.now();
  expect(await answered(owner.rpc("resolve_alert", { id: alert?.id as string, note: "Upgraded." }))).toBe(1);
  await until(
    async () => (await pages()).length === 2 && (await sink.requestsTo(slackPath)).length === 2,
    TWO_MINUTES,
  );
  console.log(`seconds until it was known to be resolved: ${Math.round((Date.now() - resolvedAt) / 1_000)}`);
  const [, resolve] = await pages();
  expect(resolve).toMatchObject({ event_action: "resolve", dedup_key: trigger.dedup_key });
  await until(async () => (await notifications()).every(({ status }) => status === "sent"));
  expect(await mailsTo(address)).toHaveLength(1);
}, 420_000);

/** A payment of a tenant's fails, as Stripe tells. */
async function bill(tenantId: string): Promise<void> {
  const shape = "2026-10-28.endive";
  const [start, end] = [Math.floor(Date.now() / 1_000) - 60, Math.floor(Date.now() / 1_000) + 86_400];
  const of = { customer: "cus_1", tenantId, price: "price_startup_monthly" };
  const sold = subscription({ ...of, id: "sub_1", status: "active", start, end }, shape);
  const lines = [{ id: "il_1", price: of.price, amount: 4_900, start, end }];
  const open = {
    ...of,
    id: "in_1",
    subscription: "sub_1",
    status: "open" as const,
    attempts: 1,
    created: start,
    lines,
  };
  for (const sent of [
    event("evt_1", "customer.subscription.created", start, sold),
    event("evt_2", "invoice.payment_failed", start + 1, invoice(open, shape)),
  ]) {
    expect((await ingest(sql, sent)).status).toBe("processed");
  }
}
