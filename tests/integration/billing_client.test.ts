import { randomUUID } from "node:crypto";
import { beforeEach, expect, inject, test } from "vitest";
import { type AppliedEvent, createMeterbase, type Meterbase, type MeterbaseError } from "../../src/index.ts";
import { anon, createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";
import { submitForm } from "../helpers/stripe.ts";
import { DAY_SECONDS, event, invoice, type StripeEvent, subscription } from "../helpers/stripe_events.ts";
import { until } from "../helpers/until.ts";

const SHAPE = "2026-10-28.endive";
const { stripeUrl } = inject("stack");
const operator = createMeterbase(service);
const of = ({ client }: Person): Meterbase => createMeterbase(client);
const refusal = (name: string, code: string): Partial<MeterbaseError> => ({ name, code });
const iso = (seconds: number) => new Date(seconds * 1000).toISOString();
const times = (...texts: (string | null)[]) => texts.map((text) => text && new Date(text).toISOString());

let owner: Person;
let viewer: Person;
let stranger: Person;
let tenant: Tenant;

beforeEach(async () => {
  [owner, viewer, stranger] = await Promise.all([signUp(), signUp(), signUp()]);
  [tenant] = await Promise.all([createTenant(owner.client), createTenant(stranger.client)]);
  const membership = { tenant_id: tenant.id, user_id: viewer.id, role: "viewer" as const };
  const { error } = await service.from("memberships").insert(membership);
  if (error) throw error;
});

async function ingest(sent: StripeEvent): Promise<AppliedEvent> {
  const { data, error } = await service.rpc("ingest_stripe_event", { event: sent as never });
  if (error) throw error;
  return (data as AppliedEvent[])[0] as AppliedEvent;
}

interface Purchase {
  start: number;
  end: number;
  subscriptionId: string;
  invoiceIds: string[];
}

/** What Stripe tells when the tenant buys 300 credits a month, pays at the second attempt, and pays a second invoice. */
async function buyByEvents(): Promise<Purchase> {
  const id = randomUUID();
  const start = Math.floor(Date.now() / 1000) - DAY_SECONDS;
  const end = start + 30 * DAY_SECONDS;
  const buyer = { customer: `cus_${id}`, tenantId: tenant.id };
  const price = "price_startup_monthly";
  const bought = subscription({ id: `sub_${id}`, price, status: "active", start, end, ...buyer }, SHAPE);
  expect(await ingest(event(`evt_s_${id}`, "customer.subscription.created", start, bought))).toMatchObject({
    status: "processed",
    plan_id: "startup",
    is_upgrade: true,
  });
  const bill = (n: number, attempts: number, status: "open" | "paid") => {
    const lines = n === 1 ? [{ id: `il_${id}`, price, amount: 4_900, start, end }] : [];
    const extra = { id: `il_${n}_${id}`, price: "price_other", amount: 100, start, end };
    const created = start + n;
    return invoice(
      {
        id: `in_${n}_${id}`,
        subscription: `sub_${id}`,
        status,
        attempts,
        created,
        lines: [...lines, extra],
        ...buyer,
      },
      SHAPE,
    );
  };
  for (const [type, at, object] of [
    ["invoice.payment_failed", 10, bill(1, 1, "open")],
    ["invoice.paid", 20, bill(1, 2, "paid")],
    ["invoice.paid", 30, bill(2, 1, "paid")],
  ] as const) {
    await ingest(event(`evt_${at}_${id}`, type, start + at, object));
  }
  return { start, end, subscriptionId: `sub_${id}`, invoiceIds: [`in_1_${id}`, `in_2_${id}`] };
}

test("everybody reads the prices, from the least plan to the greatest", async () => {
  const prices = await createMeterbase(anon).billing.plans();
  expect(prices.map(({ price_id }) => price_id)).toEqual([
    "startup_monthly",
    "startup_annual",
    "pro_monthly",
    "enterprise_monthly",
    "enterprise_workflows_monthly",
    "enterprise_annual",
  ]);
  expect(prices[1]).toEqual({
    price_id: "startup_annual",
    plan_id: "startup",
    name: "Startup Audit - Annual",
    interval: "year",
    unit_amount: 49_900,
    currency: "usd",
    credits_per_month: 350,
    stripe_price_id: "price_startup_annual",
    discount_percent: 15.1,
    sort_order: expect.any(Number),
  });
  expect(prices[2]).toMatchObject({ stripe_price_id: null, discount_percent: null });
});

test("an owner reads what the tenant has bought; nobody else does", async () => {
  const { billing } = of(owner);
  expect(await billing.current(tenant.id)).toMatchObject({
    plan_id: "trial",
    status: "none",
    price_id: null,
  });
  const { start, end, subscriptionId, invoiceIds } = await buyByEvents();

  const current = await billing.current(tenant.id);
  expect(current).toMatchObject({
    tenant_id: tenant.id,
    plan_id: "startup",
    price_id: "startup_monthly",
    status: "active",
    cancel_at_period_end: false,
    grace_ends_at: null,
    stripe_subscription_id: subscriptionId,
    plan_details: { plan_id: "startup", price: { price_id: "startup_monthly", unit_amount: 4_900 } },
  });
  expect(times(current.current_period_start, current.current_period_end)).toEqual([iso(start), iso(end)]);
  expect(current.plan_details.limits).toContainEqual({
    metric: "analysis_runs",
    period: "day",
    per: "subject",
    limit_value: 20,
    enforcement: "hard",
  });

  const invoices = await billing.invoices(tenant.id);
  expect(invoices.map(({ stripe_invoice_id, total }) => [stripe_invoice_id, total])).toEqual([
    [invoiceIds[1], 100],
    [invoiceIds[0], 5_000],
  ]);
  expect(invoices[1]).toMatchObject({
    status: "paid",
    amount_paid: 5_000,
    amount_remaining: 0,
    attempt_count: 2,
  });
  expect(await billing.invoices(tenant.id, { limit: 1 })).toEqual(invoices.slice(0, 1));
  const before = invoices[0]?.created_at as string;
  expect(await billing.invoices(tenant.id, { before })).toEqual(invoices.slice(1));
  await expect(billing.invoices(tenant.id, { limit: 0 })).rejects.toMatchObject(
    refusal("InvalidRequestError", "invalid_max_rows"),
  );

  const payments = await billing.payments(tenant.id);
  expect(payments.map(({ status, amount, attempt }) => [status, amount, attempt])).toEqual([
    ["failed", 5_000, 1],
    ["succeeded", 100, 1],
    ["succeeded", 5_000, 2],
  ]);
  expect(await billing.payments(tenant.id, { limit: 1, offset: 1 })).toEqual(payments.slice(1, 2));

  for (const other of [viewer, stranger]) {
    const mb = of(other);
    await expect(mb.billing.current(tenant.id)).rejects.toMatchObject(
      refusal("PermissionError", "permission_denied"),
    );
    await expect(mb.billing.invoices(tenant.id)).rejects.toMatchObject({ code: "permission_denied" });
    expect(await mb.billing.payments(tenant.id)).toEqual([]);
  }
});

test("credits are debited once for a key, never below nothing, and every movement is in the ledger", async () => {
  const { credits } = of(owner);
  expect(await credits.balance(tenant.id)).toBe(0);
  const { start, end } = await buyByEvents();
  expect(await credits.balance(tenant.id)).toBe(300);
  expect(await credits.balance(tenant.id, new Date((start - DAY_SECONDS) * 1000))).toBe(0);

  const debit = () => credits.debit(tenant.id, 120, "audit", { idempotencyKey: "a-1" });
  const taken = await debit();
  expect(taken).toEqual({
    allowed: true,
    amount: 120,
    balance: 180,
    reason: null,
    entry_id: expect.any(Number),
  });
  expect(await debit()).toEqual(taken);
  await expect(credits.debit(tenant.id, 121, "audit", { idempotencyKey: "a-1" })).rejects.toMatchObject(
    refusal("ConflictError", "idempotency_key_reused"),
  );
  expect(await credits.debit(tenant.id, 181, "audit")).toEqual({
    allowed: false,
    amount: 181,
    balance: 180,
    reason: "insufficient_credits",
    entry_id: null,
  });
  for (const [amount, reason, code] of [
    [0, "audit", "invalid_amount"],
    [1, "", "invalid_reason"],
  ] as const) {
    await expect(credits.debit(tenant.id, amount, reason)).rejects.toMatchObject(
      refusal("InvalidRequestError", code),
    );
  }

  const gift = () => operator.credits.grant(tenant.id, 50, "sorry", { idempotencyKey: "g-1" });
  const given = await gift();
  expect(given).toMatchObject({ kind: "grant", amount: 50, balance: 230, reason: "sorry", expires_at: null });
  expect(await gift()).toEqual(given);
  const expiresAt = new Date((end + DAY_SECONDS) * 1000);
  await operator.credits.grant(tenant.id, 7, "for a month", { expiresAt });
  expect(await credits.balance(tenant.id)).toBe(237);
  expect(await credits.balance(tenant.id, new Date(end * 1000))).toBe(57);
  expect(await credits.balance(tenant.id, expiresAt)).toBe(50);
  await expect(
    operator.credits.grant(tenant.id, 1, "late", { expiresAt: "2020-01-01T00:00:00Z" }),
  ).rejects.toMatchObject(refusal("InvalidRequestError", "invalid_expires_at"));
  await expect(credits.grant(tenant.id, 50, "myself")).rejects.toMatchObject(
    refusal("PermissionError", "platform_admin_only"),
  );

  const ledger = await credits.ledger(tenant.id);
  expect(ledger.map(({ kind, amount, balance }) => [kind, amount, balance])).toEqual([
    ["grant", 7, 237],
    ["grant", 50, 230],
    ["debit", -120, 180],
    ["grant", 300, 300],
  ]);
  expect(ledger[1]).toEqual(given);
  const paged = [];
  for (let page = await credits.ledger(tenant.id, { limit: 1 }); page[0]; ) {
    paged.push(page[0]);
    page = await credits.ledger(tenant.id, { limit: 1, before: page[0] });
  }
  expect(paged).toEqual(ledger);

  expect(await of(viewer).credits.balance(tenant.id)).toBe(237);
  expect(await of(viewer).credits.ledger(tenant.id)).toEqual(ledger);
  await expect(of(viewer).credits.debit(tenant.id, 1, "audit")).rejects.toMatchObject({
    code: "permission_denied",
  });
  await expect(of(stranger).credits.balance(tenant.id)).rejects.toMatchObject(
    refusal("PermissionError", "permission_denied"),
  );
  expect(await of(stranger).credits.ledger(tenant.id)).toEqual([]);
});

test("a tenant buys, cancels, resumes, changes its plan and ends it", async () => {
  const { billing } = of(owner);
  await expect(billing.portal(tenant.id)).rejects.toMatchObject(refusal("ConflictError", "no_customer"));
  await expect(billing.cancel(tenant.id)).rejects.toMatchObject(refusal("ConflictError", "no_subscription"));

  const successUrl = "http://127.0.0.1:3000/bought";
  const cancelUrl = "http://127.0.0.1:3000/left";
  const options = { successUrl, cancelUrl, idempotencyKey: "form 1" };
  const checkout = await billing.checkout(tenant.id, "startup_monthly", options);
  expect(checkout.url).toContain(stripeUrl);
  expect(Date.parse(checkout.expiresAt)).toBeGreaterThan(Date.now());
  expect(await billing.checkout(tenant.id, "startup_monthly", options)).toEqual(checkout);
  expect(await (await fetch(checkout.url)).text()).toContain(cancelUrl);
  expect(await submitForm(checkout.url, { card: "works" })).toBe(successUrl);
  await until(async () => (await billing.current(tenant.id)).status === "active");
  await expect(billing.checkout(tenant.id, "startup_monthly")).rejects.toMatchObject(
    refusal("ConflictError", "already_subscribed"),
  );

  const { stripe_subscription_id: subscriptionId } = await billing.current(tenant.id);
  const { url } = await billing.portal(tenant.id, { returnUrl: "http://127.0.0.1:3000/" });
  expect(await (await fetch(url)).text()).toContain("Startup Audit");

  const cancelled = await billing.cancel(tenant.id, { idempotencyKey: "c" });
  expect(cancelled).toMatchObject({ subscriptionId, status: "active", cancelAtPeriodEnd: true });
  await until(async () => (await billing.current(tenant.id)).cancel_at_period_end);
  expect(times((await billing.current(tenant.id)).current_period_end)).toEqual([cancelled.currentPeriodEnd]);
  expect(await billing.resume(tenant.id, { idempotencyKey: "r" })).toEqual({
    ...cancelled,
    cancelAtPeriodEnd: false,
  });
  await until(async () => !(await billing.current(tenant.id)).cancel_at_period_end);

  await expect(billing.changePlan(tenant.id, "startup_monthly")).rejects.toMatchObject({
    code: "price_unchanged",
  });
  await expect(
    billing.changePlan(tenant.id, "enterprise_monthly", { prorationBehavior: "none" }),
  ).rejects.toMatchObject(refusal("ConflictError", "upgrade_must_be_paid"));
  expect(await billing.changePlan(tenant.id, "enterprise_monthly", { idempotencyKey: "p" })).toMatchObject({
    subscriptionId,
    planId: "enterprise_monthly",
    isPending: false,
    clientSecret: null,
  });
  await until(async () => (await billing.current(tenant.id)).plan_id === "enterprise");

  expect(await billing.cancel(tenant.id, { atPeriodEnd: false })).toMatchObject({ status: "canceled" });
  await until(async () => (await billing.current(tenant.id)).plan_id === "free");
});

test("a subscription is made for a payment form, once for a key", async () => {
  const { billing } = of(owner);
  const subscribe = () => billing.subscribe(tenant.id, "enterprise_monthly", { idempotencyKey: "s" });
  const made = await subscribe();
  expect(made).toEqual({
    subscriptionId: expect.stringMatching(/^sub_/),
    status: "incomplete",
    clientSecret: expect.stringMatching(/_secret_/),
  });
  expect(await subscribe()).toEqual(made);
  await expect(
    billing.subscribe(tenant.id, "startup_monthly", { idempotencyKey: "s" }),
  ).rejects.toMatchObject(refusal("ConflictError", "idempotency_key_reused"));
});

test("what a function refuses is a typed error", async () => {
  const { billing } = of(owner);
  const buy = (priceId: string, options = {}) => billing.checkout(tenant.id, priceId, options);
  await expect(buy("gold")).rejects.toMatchObject(refusal("NotFoundError", "price_not_found"));
  await expect(buy("pro_monthly")).rejects.toMatchObject(refusal("ConflictError", "price_not_for_sale"));
  await expect(buy("startup_monthly", { successUrl: "https://evil.example/" })).rejects.toMatchObject({
    ...refusal("InvalidRequestError", "redirect_not_allowed"),
    status: 400,
    message: expect.stringContaining("evil.example"),
  });
  await expect(buy("startup_monthly", { idempotencyKey: "k".repeat(256) })).rejects.toMatchObject({
    code: "invalid_idempotency_key",
  });
  for (const other of [viewer, stranger]) {
    await expect(of(other).billing.checkout(tenant.id, "startup_monthly")).rejects.toMatchObject(
      refusal("PermissionError", "permission_denied"),
    );
    await expect(of(other).billing.cancel(tenant.id)).rejects.toMatchObject({ code: "permission_denied" });
  }
  for (const mb of [createMeterbase(anon), operator]) {
    await expect(mb.billing.resume(tenant.id)).rejects.toMatchObject(
      refusal("PermissionError", "unauthorized"),
    );
  }
});

test("operators see events, replay them, say what sells a price, and read how it goes", async () => {
  const from = new Date();
  const { billing } = operator;
  const id = randomUUID();
  const start = Math.floor(Date.now() / 1000);
  const orphan = { id: `sub_${id}`, customer: `cus_${id}`, price: "price_gone", status: "active" };
  const bought = subscription({ ...orphan, start, end: start + 30 * DAY_SECONDS }, SHAPE);
  await ingest(event(`evt_a_${id}`, "customer.subscription.created", start, bought));
  await buyByEvents();

  const events = await billing.events({ limit: 1_000 });
  const arrivals = events.map(({ received_at }) => received_at);
  expect(arrivals).toEqual([...arrivals].sort().reverse());
  const failed = await billing.events({ status: "failed", limit: 1_000 });
  expect(new Set(failed.map(({ status }) => status))).toEqual(new Set(["failed"]));
  expect(failed.find(({ object_id }) => object_id === `sub_${id}`)).toMatchObject({
    id: `evt_a_${id}`,
    tenant_id: null,
    attempts: 1,
    last_error: expect.stringContaining("tenant_unknown"),
    payload: { data: { object: { customer: `cus_${id}` } } },
  });
  expect(await billing.replay(`evt_a_${id}`)).toMatchObject({
    event_id: `evt_a_${id}`,
    status: "failed",
    error: expect.stringContaining("tenant_unknown"),
  });

  const kpis = await billing.kpis(from, new Date(Date.now() + 60_000));
  expect(kpis.webhooks_received).toBeGreaterThanOrEqual(5);
  expect(kpis.upgrades).toBeGreaterThanOrEqual(1);
  expect(kpis.webhook_success_rate).toBeLessThan(1);
  expect(kpis.upgrade_latency_p99_seconds).toBeGreaterThan(0);
  expect(await billing.kpis("2020-01-01", "2020-01-02")).toMatchObject({
    webhooks_received: 0,
    webhook_success_rate: null,
    checkout_conversion: null,
    upgrade_latency_p50_seconds: null,
  });
  const counts = await billing.webhookCounts();
  const received = counts.find(({ type, outcome }) => type === "invoice.paid" && outcome === "received");
  expect(received?.count).toBeGreaterThanOrEqual(2);

  expect(await billing.setStripePrice("pro_monthly", null)).toEqual({
    id: "pro_monthly",
    plan_id: "pro",
    product: "Pro",
    interval: "month",
    unit_amount: 4_900,
    currency: "usd",
    credits_per_month: 0,
    stripe_price_id: null,
  });
  for (const [priceId, stripePriceId, name, code] of [
    ["gold", "price_gold", "NotFoundError", "price_not_found"],
    ["pro_monthly", "price_startup_monthly", "ConflictError", "stripe_price_taken"],
    ["pro_monthly", "a price", "InvalidRequestError", "invalid_stripe_price"],
  ] as const) {
    await expect(billing.setStripePrice(priceId, stripePriceId)).rejects.toMatchObject(refusal(name, code));
  }
  await expect(billing.replay("evt_none")).rejects.toMatchObject(refusal("NotFoundError", "event_not_found"));

  const mine = of(owner).billing;
  expect(await mine.events()).toEqual([]);
  for (const refused of [
    () => mine.replay(`evt_a_${id}`),
    () => mine.setStripePrice("pro_monthly", null),
    () => mine.kpis(from, new Date()),
    () => mine.webhookCounts(),
  ]) {
    await expect(refused()).rejects.toMatchObject(refusal("PermissionError", "platform_admin_only"));
  }
});
