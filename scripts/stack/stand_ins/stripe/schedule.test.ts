import { expect, test } from "vitest";
import { BEGIN, DAY, itemOf, startFixture } from "./fixture.ts";

const MONTH = 30 * DAY;

test("a period that is over is followed by the next, which the card pays", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  const before = (await fixture.events()).length;
  fixture.standIn.advance(MONTH - 1);
  expect(await fixture.events()).toHaveLength(before);
  fixture.standIn.advance(1);
  const renewal = (await fixture.events()).slice(before);
  expect(renewal.map(({ type }) => type)).toEqual([
    "customer.subscription.updated",
    "invoice.created",
    "payment_intent.created",
    "invoice.finalized",
    "charge.succeeded",
    "payment_intent.succeeded",
    "invoice.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
  ]);
  expect(new Set(renewal.map(({ created }) => created))).toEqual(new Set([BEGIN + MONTH]));
  expect(renewal[0]?.data.previous_attributes).toMatchObject({
    items: { data: [{ current_period_end: BEGIN + MONTH, current_period_start: BEGIN }] },
  });
  expect(itemOf(await fixture.stripe.subscriptions.retrieve(id))).toMatchObject({
    current_period_end: BEGIN + MONTH + 31 * DAY,
    current_period_start: BEGIN + MONTH,
  });
});

test("what is due in a long time happens in the order of time", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  await fixture.subscribe(customer);
  fixture.standIn.advance(10 * DAY);
  await fixture.subscribe(customer, "price_pro");
  const { now } = await fixture.control<{ now: number }>("POST", "clock", { advance_seconds: 80 * DAY });
  expect(now).toBe(BEGIN + 90 * DAY);
  const paid = await fixture.events("invoice.paid");
  const times = paid.map(({ created }) => (created - BEGIN) / DAY);
  expect(times).toEqual([0, 10, 30, 40, 61, 71]);
});

test("a card that is declined is tried again on days 3, 5 and 7, and then the subscription ends", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  await fixture.control("POST", `customers/${customer}`, { card: "declined" });
  fixture.standIn.advance(MONTH);
  const pastDue = await fixture.stripe.subscriptions.retrieve(id, { expand: ["latest_invoice"] });
  expect(pastDue).toMatchObject({
    latest_invoice: { attempt_count: 1, next_payment_attempt: BEGIN + MONTH + 3 * DAY, status: "open" },
    status: "past_due",
  });
  fixture.standIn.advance(8 * DAY);
  const failed = await fixture.events("invoice.payment_failed");
  expect(failed.map(({ created }) => (created - BEGIN - MONTH) / DAY)).toEqual([0, 3, 5, 7]);
  expect(failed.map(({ data }) => (data.object as { attempt_count?: number }).attempt_count)).toEqual([
    1, 2, 3, 4,
  ]);
  expect(await fixture.stripe.subscriptions.retrieve(id)).toMatchObject({
    cancellation_details: { reason: "payment_failed" },
    ended_at: BEGIN + MONTH + 7 * DAY,
    status: "canceled",
  });
  expect(await fixture.events("customer.subscription.deleted")).toHaveLength(1);
});

test("an attempt by hand does not move the tries", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  await fixture.subscribe(customer);
  await fixture.control("POST", `customers/${customer}`, { card: "declined" });
  fixture.standIn.advance(MONTH);
  const [invoice] = (await fixture.stripe.invoices.list()).data;
  await expect(fixture.stripe.invoices.pay(String(invoice?.id))).rejects.toMatchObject({ statusCode: 402 });
  expect(await fixture.stripe.invoices.retrieve(String(invoice?.id))).toMatchObject({
    attempt_count: 1,
    next_payment_attempt: BEGIN + MONTH + 3 * DAY,
  });
});

test("a card that works again pays at the next try", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  await fixture.control("POST", `customers/${customer}`, { card: "declined" });
  fixture.standIn.advance(MONTH + 4 * DAY);
  await fixture.control("POST", `customers/${customer}`, { card: "works" });
  fixture.standIn.advance(DAY);
  expect(await fixture.stripe.subscriptions.retrieve(id, { expand: ["latest_invoice"] })).toMatchObject({
    latest_invoice: { attempt_count: 3, next_payment_attempt: null, status: "paid" },
    status: "active",
  });
  fixture.standIn.advance(10 * DAY);
  expect(await fixture.events("customer.subscription.deleted")).toEqual([]);
});

test("a trial warns three days before its end, and then is billed", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer, "price_pro", { trial_period_days: 14 });
  fixture.standIn.advance(14 * DAY);
  const [warning] = await fixture.events("customer.subscription.trial_will_end");
  expect(warning?.created).toBe(BEGIN + 11 * DAY);
  const [updated] = await fixture.events("customer.subscription.updated");
  expect(updated?.data.previous_attributes).toMatchObject({ status: "trialing" });
  const subscription = await fixture.stripe.subscriptions.retrieve(id, { expand: ["latest_invoice"] });
  expect(subscription).toMatchObject({
    latest_invoice: { billing_reason: "subscription_cycle", status: "paid", total: 9_000 },
    status: "active",
  });
  expect(itemOf(subscription).current_period_end).toBe(BEGIN + 44 * DAY);
});

test("a trial that ends without a card is past due, cancelled or paused, as it was asked", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.stripe.customers.create();
  const begin = (missing_payment_method: "create_invoice" | "cancel" | "pause") =>
    fixture.subscribe(customer, "price_pro", {
      trial_period_days: 7,
      trial_settings: { end_behavior: { missing_payment_method } },
    });
  const [billed, cancelled, paused] = [
    await begin("create_invoice"),
    await begin("cancel"),
    await begin("pause"),
  ];
  fixture.standIn.advance(7 * DAY);
  const statusOf = async (id: string) => (await fixture.stripe.subscriptions.retrieve(id)).status;
  expect(await statusOf(billed.id)).toBe("past_due");
  expect(await statusOf(cancelled.id)).toBe("canceled");
  expect(await statusOf(paused.id)).toBe("paused");

  await fixture.control("POST", `customers/${customer}`, { card: "works" });
  expect(await fixture.stripe.subscriptions.resume(paused.id)).toMatchObject({ status: "active" });
  expect((await fixture.events("customer.subscription.paused", "customer.subscription.resumed")).length).toBe(
    2,
  );
});

test("months are counted from the day on which the subscription began", async () => {
  const january31 = new Date("2026-01-31T09:00:00Z");
  await using fixture = await startFixture({ now: () => january31 });
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  const endOf = async () => {
    const { current_period_end } = itemOf(await fixture.stripe.subscriptions.retrieve(id));
    return new Date(current_period_end * 1000).toISOString().slice(0, 10);
  };
  expect(await endOf()).toBe("2026-02-28");
  fixture.standIn.advance(28 * DAY);
  expect(await endOf()).toBe("2026-03-31");
  fixture.standIn.advance(31 * DAY);
  expect(await endOf()).toBe("2026-04-30");
});
