import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Stack, startStack } from "../../scripts/stack/stack.ts";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import { type Client, createMeterbase } from "../../src/index.ts";
import { StripeControl, submitForm } from "../helpers/stripe.ts";
import { DAY_SECONDS } from "../helpers/stripe_events.ts";
import { until } from "../helpers/until.ts";

// A platform of its own: Stripe's clock moves here, and its webhooks go astray.
let stack: Stack;
let sql: Sql;
let stripe: StripeControl;
let service: Client;

beforeAll(async () => {
  stack = await startStack({ port: 0 });
  sql = postgres(stack.info.databaseUrl, { max: 2, onnotice: () => {} });
  stripe = new StripeControl(stack.info);
  service = supabaseClient(stack.info.url, stack.info.secretKey);
  await hurry("expire_subscriptions");
  await hurry("settle_credits");
});
afterAll(async () => {
  await sql?.end();
  await stack?.stop();
});
beforeEach(() => stripe.deliver({ shuffle: false, duplicate: 0, drop: false, hold: false }));

/** Lets a job run each second. */
const hurry = (job: string) =>
  sql`update cron.job set schedule = '1 second' where jobname = ${`meterbase_${job}`}`;

interface Owner {
  email: string;
  client: Client;
  tenantId: string;
  post: (path: string, body?: object) => Promise<Record<string, unknown>>;
  current: () => Promise<Record<string, unknown>>;
}

/** Somebody who has signed up and made a tenant on the free plan. */
async function newOwner(): Promise<Owner> {
  const client = supabaseClient(stack.info.url, stack.info.publishableKey);
  const email = `${randomUUID()}@example.com`;
  const { data, error } = await client.auth.signUp({ email, password: "correct horse battery staple" });
  if (error) throw error;
  const { id: tenantId } = await createMeterbase(client).tenants.createTenant("Acme");
  const call = async (path: string, init: RequestInit) => {
    const response = await fetch(`${stack.info.url}/functions/v1/billing/${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${data.session?.access_token}`,
        apikey: stack.info.publishableKey,
        "x-forwarded-for": "203.0.113.7, 10.0.0.1",
      },
    });
    const body = (await response.json()) as Record<string, unknown>;
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(body)}`);
    return body;
  };
  return {
    email,
    client,
    tenantId,
    post: (path, body = {}) =>
      call(path, { method: "POST", body: JSON.stringify({ tenant_id: tenantId, ...body }) }),
    current: () => call(`current?tenant_id=${tenantId}`, {}),
  };
}

/** The limit of executions in a month that is in force, as the owner reads it. */
async function executionLimit({ client, tenantId }: Owner): Promise<number | null> {
  const { data } = await client
    .from("entitlements")
    .select("limit_value")
    .match({ tenant_id: tenantId, metric: "executions", period: "month" })
    .single();
  return data?.limit_value ?? null;
}
const FREE = 1_000;
const ENTERPRISE = 500_000;

async function buy(owner: Owner, planId = "enterprise_monthly", card = "works"): Promise<string | null> {
  const { url } = await owner.post("checkout", { planId });
  const page = await fetch(url as string);
  expect(await page.text()).toContain(owner.email);
  return submitForm(url as string, { card });
}

const allDelivered = () => until(async () => (await stripe.deliveries()).pending === 0);

/** The subjects of the mails to somebody, sorted, once there are so many. */
async function mailsTo(email: string, count: number): Promise<string[]> {
  let subjects: string[] = [];
  await until(async () => {
    const response = await fetch(`${stack.info.mailboxUrl}/messages`);
    const messages = (await response.json()) as { to: string[]; subject: string }[];
    subjects = messages.filter(({ to }) => to.includes(email)).map(({ subject }) => subject);
    return subjects.length >= count;
  });
  return subjects.map((subject) => subject.replace(/:.*/, "")).sort();
}

describe.each([
  ["in order", {}],
  ["shuffled, each three times", { shuffle: true, duplicate: 2 }],
  ["in the shape of 2024, shuffled", { shuffle: true, api_shape: "2024-06-20" }],
])("webhooks %s", (_, mode) => {
  test("checkout raises the limits, cancelling keeps them until the period ends", async () => {
    await stripe.deliver({ api_shape: "current", ...mode });
    const owner = await newOwner();
    expect(await owner.current()).toMatchObject({ plan: "free", status: "none", currentPeriodEnd: null });
    expect(await executionLimit(owner)).toBe(FREE);

    expect(await buy(owner)).toContain("checkout=success");
    await until(async () => (await executionLimit(owner)) === ENTERPRISE);
    await allDelivered();
    expect(await owner.current()).toMatchObject({
      plan: "enterprise_monthly",
      status: "active",
      cancelAtPeriodEnd: false,
      plan_details: { plan_id: "enterprise", price: { unit_amount: 14_900 } },
    });
    const mb = createMeterbase(owner.client);
    expect(await mb.credits.balance(owner.tenantId)).toBe(1_000);
    expect(await mb.billing.invoices(owner.tenantId)).toMatchObject([
      { status: "paid", amount_paid: 14_900 },
    ]);
    const [checkout] = await sql`
      select status, host(ip_address) as address, stripe_session_id is not null as has_session
      from public.checkout_sessions where tenant_id = ${owner.tenantId}`;
    expect(checkout).toEqual({ status: "completed", address: "203.0.113.7", has_session: true });

    await owner.post("cancel");
    await until(async () => (await owner.current()).cancelAtPeriodEnd === true);
    await allDelivered();
    expect(await executionLimit(owner)).toBe(ENTERPRISE);

    // The tenant's own clock passes the end before Stripe's does.
    const { error } = await service.rpc("set_test_clock", {
      tenant_id: owner.tenantId,
      clock_offset: "32 days",
    });
    expect(error).toBeNull();
    await until(async () => (await executionLimit(owner)) === FREE);
    expect(await mb.credits.balance(owner.tenantId)).toBe(0);
    const taken = await mb.quota.consumeQuota(owner.tenantId, "executions", { amount: FREE + 1 });
    expect(taken).toMatchObject({ allowed: false, limit_value: FREE });

    expect(await mailsTo(owner.email, 3)).toEqual([
      "Your payment was received",
      "Your subscription has begun",
      "Your subscription was changed",
    ]);
  });
});

test("a subscription that Stripe ends moves its tenant to free; what Stripe says of it later changes nothing", async () => {
  const owner = await newOwner();
  await buy(owner);
  await until(async () => (await executionLimit(owner)) === ENTERPRISE);
  expect(await owner.post("cancel", { atPeriodEnd: false })).toMatchObject({ status: "canceled" });
  await until(async () => (await executionLimit(owner)) === FREE);
  await allDelivered();
  expect(await owner.current()).toMatchObject({ plan: "enterprise_monthly", status: "canceled" });
  expect(await mailsTo(owner.email, 3)).toContain("Your subscription has ended");
});

test("an upgrade holds at once, a card that is declined changes nothing", async () => {
  const owner = await newOwner();
  await buy(owner, "startup_monthly");
  const customer = async () => {
    const [tenant] =
      await sql`select stripe_customer_id as id from public.tenants where id = ${owner.tenantId}`;
    return tenant?.id as string | null;
  };
  await until(async () => (await owner.current()).plan === "startup_monthly");
  await allDelivered();
  await stripe.setCard((await customer()) as string, "declined");
  expect(await owner.post("change-plan", { newPlanId: "enterprise_monthly" })).toMatchObject({
    isPending: true,
  });
  await allDelivered();
  expect(await owner.current()).toMatchObject({ plan: "startup_monthly", status: "active" });

  await stripe.setCard((await customer()) as string, "works");
  const { url } = await owner.post("portal");
  expect(await (await fetch(url as string)).text()).toContain("Startup Audit");
  await owner.post("change-plan", { newPlanId: "enterprise_monthly" });
  await until(async () => (await executionLimit(owner)) === ENTERPRISE);
  await allDelivered();
  // 300 of the month, and the difference for what is left of it: all but moments.
  const credits = await createMeterbase(owner.client).credits.balance(owner.tenantId);
  expect(credits).toBeGreaterThanOrEqual(999);
});

test("what no webhook brought is listed and taken in by the schedule", async () => {
  const owner = await newOwner();
  await stripe.deliver({ drop: true });
  await buy(owner);
  expect(await executionLimit(owner)).toBe(FREE);
  await hurry("recover_stripe_events");
  await until(async () => (await executionLimit(owner)) === ENTERPRISE);
  await sql`update cron.job set active = false where jobname = 'meterbase_recover_stripe_events'`;
  expect(await owner.current()).toMatchObject({ plan: "enterprise_monthly", status: "active" });
});

test("a subscription that differs from Stripe's is found, reported and put right", async () => {
  const owner = await newOwner();
  await buy(owner);
  await until(async () => (await executionLimit(owner)) === ENTERPRISE);
  await allDelivered();
  await sql`
    update public.subscriptions set cancel_at_period_end = true, price_id = 'startup_monthly'
    where tenant_id = ${owner.tenantId}`;
  await new Promise((resolve) => setTimeout(resolve, 1_100)); // of another second than Stripe's last event
  const response = await fetch(`${stack.info.url}/functions/v1/billing/reconcile`, {
    method: "POST",
    headers: { apikey: stack.info.secretKey },
  });
  const { differences } = (await response.json()) as { differences: { tenant_id: string; field: string }[] };
  const ours = differences.filter(({ tenant_id }) => tenant_id === owner.tenantId);
  expect(ours.map(({ field }) => field)).toEqual(["cancel_at_period_end", "price_id"]);
  expect(await owner.current()).toMatchObject({ plan: "enterprise_monthly", cancelAtPeriodEnd: false });
  const { data: reported } = await service.rpc("get_audit_events", {
    tenant_id: owner.tenantId,
    action: "subscription_reconciled",
  });
  expect(reported).toHaveLength(1);
});

// Last, since Stripe's clock never goes back.
test("a renewal that is not paid ends the plan after the grace period, one that is paid begins it again", async () => {
  const owner = await newOwner();
  await buy(owner);
  await until(async () => (await executionLimit(owner)) === ENTERPRISE);
  const [tenant] =
    await sql`select stripe_customer_id as id from public.tenants where id = ${owner.tenantId}`;
  await stripe.setCard(tenant?.id, "declined");
  await stripe.advance(32 * DAY_SECONDS);
  await until(async () => (await owner.current()).status === "past_due");
  expect(await executionLimit(owner)).toBe(ENTERPRISE);

  const setClock = async (clock_offset: string) => {
    const { error } = await service.rpc("set_test_clock", { tenant_id: owner.tenantId, clock_offset });
    expect(error).toBeNull();
  };
  await setClock("36 days");
  await new Promise((resolve) => setTimeout(resolve, 2_500)); // two runs of the schedule
  expect(await executionLimit(owner)).toBe(ENTERPRISE);
  await setClock("40 days");
  await until(async () => (await executionLimit(owner)) === FREE);

  await stripe.setCard(tenant?.id, "works");
  await stripe.advance(3 * DAY_SECONDS);
  await until(async () => (await owner.current()).status === "active");
  await until(async () => (await executionLimit(owner)) === ENTERPRISE);
});
