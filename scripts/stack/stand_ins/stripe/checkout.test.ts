import type { Stripe } from "stripe";
import { expect, test } from "vitest";
import { BEGIN, DAY, type Fixture, itemOf, startFixture } from "./fixture.ts";

const open = (fixture: Fixture, more: Stripe.Checkout.SessionCreateParams = {}) =>
  fixture.stripe.checkout.sessions.create({
    cancel_url: "http://localhost/cancelled",
    client_reference_id: "t1",
    customer_email: "ada@example.com",
    line_items: [{ price: "price_startup", quantity: 1 }],
    metadata: { checkout_id: "c1" },
    mode: "subscription",
    subscription_data: { metadata: { tenant_id: "t1" } },
    success_url: "http://localhost/done?session={CHECKOUT_SESSION_ID}",
    ...more,
  });

const urlOf = ({ url }: Stripe.Checkout.Session) => String(url);

test("paying completes the session and tells of it in Stripe's order", async () => {
  await using fixture = await startFixture();
  const session = await open(fixture);
  expect(session).toMatchObject({ expires_at: BEGIN + DAY, payment_status: "unpaid", status: "open" });
  expect(session).not.toHaveProperty("line_items");
  const { location } = await fixture.submit(urlOf(session), { card: "works" });
  expect(location).toBe(`http://localhost/done?session=${session.id}`);

  const events = await fixture.events();
  expect(events.map(({ type }) => type)).toEqual([
    "customer.created",
    "customer.updated",
    "customer.subscription.created",
    "invoice.created",
    "payment_intent.created",
    "invoice.finalized",
    "charge.succeeded",
    "payment_intent.succeeded",
    "customer.subscription.updated",
    "invoice.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
    "checkout.session.completed",
  ]);
  expect(new Set(events.map(({ created }) => created))).toEqual(new Set([BEGIN]));
  const created = events.find(({ type }) => type === "customer.subscription.created");
  expect(created?.data.object).toMatchObject({ metadata: { tenant_id: "t1" }, status: "incomplete" });
  const updated = events.find(({ type }) => type === "customer.subscription.updated");
  expect(updated?.data.object).toMatchObject({ status: "active" });
  expect(updated?.data.previous_attributes).toEqual({ status: "incomplete" });
  expect(events.at(-1)?.data.object).toMatchObject({
    client_reference_id: "t1",
    customer_details: { email: "ada@example.com" },
    metadata: { checkout_id: "c1" },
    payment_status: "paid",
    status: "complete",
  });
  expect(events.at(-1)?.request).toEqual({ id: null, idempotency_key: null });
});

test("what the session made can be expanded", async () => {
  await using fixture = await startFixture();
  const session = await open(fixture);
  await fixture.submit(urlOf(session), { card: "works" });
  const done = await fixture.stripe.checkout.sessions.retrieve(session.id, {
    expand: ["customer", "line_items", "subscription.latest_invoice.payments.data.payment.payment_intent"],
  });
  expect(done).toMatchObject({
    customer: { email: "ada@example.com", object: "customer" },
    line_items: { data: [{ amount_total: 3_000, price: { id: "price_startup" } }] },
    subscription: {
      latest_invoice: {
        amount_paid: 3_000,
        billing_reason: "subscription_create",
        parent: { subscription_details: { metadata: { tenant_id: "t1" } } },
        payments: {
          data: [{ payment: { payment_intent: { amount: 3_000, status: "succeeded" } }, status: "paid" }],
        },
        status: "paid",
      },
      status: "active",
    },
  });
});

test("a declined card leaves an incomplete subscription, which the next card pays", async () => {
  await using fixture = await startFixture();
  const session = await open(fixture);
  const { location, text } = await fixture.submit(urlOf(session), { card: "declined" });
  expect(location).toBeNull();
  expect(text).toContain("Your card was declined");
  expect(await fixture.stripe.checkout.sessions.retrieve(session.id)).toMatchObject({
    status: "open",
    subscription: null,
  });
  const [begun] = (await fixture.stripe.subscriptions.list()).data;
  expect(begun).toMatchObject({ status: "incomplete" });

  await fixture.submit(urlOf(session), { card: "works" });
  expect(await fixture.stripe.checkout.sessions.retrieve(session.id)).toMatchObject({
    status: "complete",
    subscription: begun?.id,
  });
  expect((await fixture.events("invoice.payment_failed", "invoice.paid")).map(({ type }) => type)).toEqual([
    "invoice.payment_failed",
    "invoice.paid",
  ]);
});

test("a session expires after a day, and what a declined card left ends with it", async () => {
  await using fixture = await startFixture();
  const session = await open(fixture);
  fixture.standIn.advance(2 * 3_600);
  await fixture.submit(urlOf(session), { card: "declined" });
  fixture.standIn.advance(DAY - 2 * 3_600 - 1);
  expect(await fixture.stripe.checkout.sessions.retrieve(session.id)).toMatchObject({ status: "open" });
  fixture.standIn.advance(1);
  expect(await fixture.stripe.checkout.sessions.retrieve(session.id)).toMatchObject({
    status: "expired",
    url: null,
  });
  const [expired] = await fixture.events("checkout.session.expired");
  expect(expired?.created).toBe(BEGIN + DAY);
  const [left] = (await fixture.stripe.subscriptions.list({ status: "all" })).data;
  expect(left).toMatchObject({ ended_at: BEGIN + DAY, status: "incomplete_expired" });
  expect((await fetch(urlOf(session))).status).toBe(410);
});

test("a session is expired by request, once", async () => {
  await using fixture = await startFixture();
  const { id } = await open(fixture);
  expect(await fixture.stripe.checkout.sessions.expire(id)).toMatchObject({ status: "expired" });
  await expect(fixture.stripe.checkout.sessions.expire(id)).rejects.toMatchObject({ statusCode: 400 });
  expect((await fixture.stripe.checkout.sessions.list({ status: "expired" })).data).toHaveLength(1);
});

test("a trial begins without a payment, for a customer that is known", async () => {
  await using fixture = await startFixture();
  const customer = await fixture.stripe.customers.create({ email: "known@example.com" });
  const session = await fixture.stripe.checkout.sessions.create({
    customer: customer.id,
    line_items: [{ price: "price_pro", quantity: 1 }],
    mode: "subscription",
    subscription_data: { trial_period_days: 14 },
    success_url: "http://localhost/done",
  });
  expect(await (await fetch(urlOf(session))).text()).toContain("Start trial");
  await fixture.submit(urlOf(session), { card: "works" });
  const done = await fixture.stripe.checkout.sessions.retrieve(session.id, { expand: ["subscription"] });
  expect(done).toMatchObject({ customer: customer.id, payment_status: "no_payment_required" });
  expect(done.subscription).toMatchObject({ status: "trialing", trial_end: BEGIN + 14 * DAY });
  expect(itemOf(done.subscription as Stripe.Subscription)).toMatchObject({
    current_period_end: BEGIN + 14 * DAY,
    current_period_start: BEGIN,
  });
});

test("the page shows what is bought, with everything escaped", async () => {
  await using fixture = await startFixture();
  const text = await (
    await fetch(urlOf(await open(fixture, { customer_email: '<b>"x"</b>@example.com' })))
  ).text();
  expect(text).toContain("Subscribe to Startup");
  expect(text).toContain("30.00 USD a month");
  expect(text).toContain("&lt;b&gt;");
  expect(text).not.toContain("<b>");
  expect(text).toContain('href="http://localhost/cancelled"');
});

test("only web addresses are taken to return to", async () => {
  await using fixture = await startFixture();
  await expect(open(fixture, { success_url: "javascript:alert(1)" })).rejects.toMatchObject({
    param: "success_url",
  });
});
