import { Stripe } from "stripe";
import { expect, test } from "vitest";
import { BEGIN, DAY, itemOf, startFixture } from "./fixture.ts";

/** June has 30 days, so that 10 of them are a third of the period from `BEGIN`. */
const TEN_DAYS = 10 * DAY;
const PERIOD = { end: BEGIN + 30 * DAY, start: BEGIN };

const change = (
  stripe: Stripe,
  subscription: Stripe.Subscription,
  price: string,
  more: Stripe.SubscriptionUpdateParams = {},
) =>
  stripe.subscriptions.update(subscription.id, { items: [{ id: itemOf(subscription).id, price }], ...more });

const linesOf = (invoice: Stripe.Invoice) =>
  invoice.lines.data.map(({ amount, parent, period, pricing }) => ({
    amount,
    period,
    price: pricing?.price_details?.price,
    proration: parent?.subscription_item_details?.proration,
  }));

test("a customer whose card works is subscribed at once", async () => {
  await using fixture = await startFixture();
  const customer = await fixture.customer();
  const subscription = await fixture.subscribe(customer.id, "price_startup", {
    metadata: { tenant_id: "t1" },
  });
  expect(subscription).toMatchObject({
    customer: customer.id,
    metadata: { tenant_id: "t1" },
    status: "active",
  });
  expect(itemOf(subscription)).toMatchObject({
    current_period_end: PERIOD.end,
    current_period_start: PERIOD.start,
    price: { id: "price_startup" },
  });
  expect(subscription).not.toHaveProperty("current_period_end");
  const invoice = await fixture.stripe.invoices.retrieve(String(subscription.latest_invoice));
  expect(invoice).toMatchObject({ amount_paid: 3_000, attempt_count: 1, status: "paid", total: 3_000 });
  expect(linesOf(invoice)).toEqual([
    { amount: 3_000, period: PERIOD, price: "price_startup", proration: false },
  ]);
});

test("default_incomplete waits for its invoice to be paid", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id, "price_startup", {
    expand: ["latest_invoice.confirmation_secret"],
    payment_behavior: "default_incomplete",
  });
  expect(subscription).toMatchObject({
    latest_invoice: { confirmation_secret: { type: "payment_intent" }, status: "open" },
    status: "incomplete",
  });
  const { id: invoice } = subscription.latest_invoice as Stripe.Invoice;
  expect(await fixture.stripe.invoices.pay(invoice)).toMatchObject({ status: "paid" });
  expect(await fixture.stripe.subscriptions.retrieve(subscription.id)).toMatchObject({ status: "active" });
  await expect(fixture.stripe.invoices.pay(invoice)).rejects.toMatchObject({
    message: "Invoice is already paid",
    statusCode: 400,
  });
});

test("a card that is declined leaves the subscription incomplete or is an error, as it was asked", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer("declined");
  const subscription = await fixture.subscribe(id);
  expect(subscription.status).toBe("incomplete");
  await expect(fixture.stripe.invoices.pay(String(subscription.latest_invoice))).rejects.toMatchObject({
    code: "card_declined",
    statusCode: 402,
  });
  const attempt = fixture.subscribe(id, "price_startup", { payment_behavior: "error_if_incomplete" });
  await expect(attempt).rejects.toBeInstanceOf(Stripe.errors.StripeCardError);
  const { id: bare } = await fixture.stripe.customers.create();
  await expect(fixture.subscribe(bare)).rejects.toMatchObject({ code: "resource_missing" });

  fixture.standIn.advance(23 * 3_600);
  expect(await fixture.stripe.subscriptions.retrieve(subscription.id)).toMatchObject({
    status: "incomplete_expired",
  });
  expect(await fixture.stripe.invoices.retrieve(String(subscription.latest_invoice))).toMatchObject({
    status: "void",
  });
});

test("subscriptions are listed by status and customer", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const active = await fixture.subscribe(id);
  const ended = await fixture.subscribe(id, "price_pro");
  await fixture.stripe.subscriptions.cancel(ended.id);
  const ids = async (params: Stripe.SubscriptionListParams) =>
    (await fixture.stripe.subscriptions.list(params)).data.map((it) => it.id);
  expect(await ids({ customer: id })).toEqual([active.id]);
  expect(await ids({ status: "all" })).toEqual([ended.id, active.id]);
  expect(await ids({ status: "canceled" })).toEqual([ended.id]);
  expect(await ids({ customer: "cus_none", status: "all" })).toEqual([]);
});

test("always_invoice bills the rest of the period at once: a credit and a charge", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  fixture.standIn.advance(TEN_DAYS);
  const changed = await change(fixture.stripe, subscription, "price_pro", {
    proration_behavior: "always_invoice",
  });
  expect(itemOf(changed)).toMatchObject({ current_period_end: PERIOD.end, price: { id: "price_pro" } });
  const invoice = await fixture.stripe.invoices.retrieve(String(changed.latest_invoice));
  expect(invoice).toMatchObject({ billing_reason: "subscription_update", status: "paid", total: 4_000 });
  const rest = { end: PERIOD.end, start: BEGIN + TEN_DAYS };
  expect(linesOf(invoice)).toEqual([
    { amount: -2_000, period: rest, price: "price_startup", proration: true },
    { amount: 6_000, period: rest, price: "price_pro", proration: true },
  ]);

  const [, updated] = await fixture.events("customer.subscription.updated");
  expect(Object.keys(updated?.data.previous_attributes ?? {}).sort()).toEqual(["items", "latest_invoice"]);
  expect(updated?.data.previous_attributes).toMatchObject({
    items: { data: [{ price: { id: "price_startup" } }] },
    latest_invoice: subscription.latest_invoice,
  });
});

test("create_prorations wait for the next invoice", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  fixture.standIn.advance(TEN_DAYS);
  const changed = await change(fixture.stripe, subscription, "price_pro");
  expect(changed.latest_invoice).toBe(subscription.latest_invoice);
  fixture.standIn.advance(20 * DAY);
  const [renewal] = (await fixture.stripe.invoices.list({ subscription: subscription.id })).data;
  expect(renewal).toMatchObject({ billing_reason: "subscription_cycle", total: 13_000 });
  expect(renewal?.lines.data.map(({ amount }) => amount)).toEqual([-2_000, 6_000, 9_000]);
});

test("without prorations the change costs nothing until the next period", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  await change(fixture.stripe, subscription, "price_pro", { proration_behavior: "none" });
  fixture.standIn.advance(30 * DAY);
  const { data } = await fixture.stripe.invoices.list({ subscription: subscription.id });
  expect(data.map(({ total }) => total)).toEqual([9_000, 3_000]);
});

test("a cheaper price leaves a balance that pays later invoices", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id, "price_pro");
  fixture.standIn.advance(TEN_DAYS);
  const changed = await change(fixture.stripe, subscription, "price_startup", {
    proration_behavior: "always_invoice",
  });
  const invoice = await fixture.stripe.invoices.retrieve(String(changed.latest_invoice));
  expect(invoice).toMatchObject({ amount_due: 0, ending_balance: -4_000, status: "paid", total: -4_000 });
  expect(await fixture.stripe.customers.retrieve(id)).toMatchObject({ balance: -4_000 });
  fixture.standIn.advance(20 * DAY);
  const [renewal] = (await fixture.stripe.invoices.list()).data;
  expect(renewal).toMatchObject({ amount_due: 0, starting_balance: -4_000, status: "paid", total: 3_000 });
  expect(await fixture.stripe.customers.retrieve(id)).toMatchObject({ balance: -1_000 });
});

test("another interval begins a new period, billed at once", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id, "price_pro");
  fixture.standIn.advance(TEN_DAYS);
  const changed = await change(fixture.stripe, subscription, "price_pro_year");
  const now = BEGIN + TEN_DAYS;
  expect(changed.billing_cycle_anchor).toBe(now);
  expect(itemOf(changed)).toMatchObject({
    current_period_end: now + 365 * DAY,
    current_period_start: now,
  });
  const invoice = await fixture.stripe.invoices.retrieve(String(changed.latest_invoice));
  expect(linesOf(invoice)).toEqual([
    { amount: -6_000, period: { end: PERIOD.end, start: now }, price: "price_pro", proration: true },
    {
      amount: 90_000,
      period: { end: now + 365 * DAY, start: now },
      price: "price_pro_year",
      proration: false,
    },
  ]);
});

test("a declined upgrade is past due, refused, or waits, as it was asked", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  await fixture.control("POST", `customers/${id}`, { card: "declined" });
  const upgrade = (payment_behavior: "allow_incomplete" | "error_if_incomplete" | "pending_if_incomplete") =>
    change(fixture.stripe, subscription, "price_pro", {
      payment_behavior,
      proration_behavior: "always_invoice",
    });

  await expect(upgrade("error_if_incomplete")).rejects.toMatchObject({ statusCode: 402 });
  const pending = await upgrade("pending_if_incomplete");
  expect(pending).toMatchObject({ pending_update: { expires_at: BEGIN + 23 * 3_600 }, status: "active" });
  expect(itemOf(pending).price.id).toBe("price_startup");

  await fixture.stripe.invoices.pay(String(pending.latest_invoice), { payment_method: "pm_card_visa" });
  const applied = await fixture.stripe.subscriptions.retrieve(subscription.id);
  expect(applied).toMatchObject({ pending_update: null, status: "active" });
  expect(itemOf(applied).price.id).toBe("price_pro");
  expect(await fixture.events("customer.subscription.pending_update_applied")).toHaveLength(1);

  const back = await change(fixture.stripe, subscription, "price_startup", { proration_behavior: "none" });
  expect(back.status).toBe("active");
  expect(await upgrade("allow_incomplete")).toMatchObject({ status: "past_due" });
});

test("only the latest invoice makes a subscription active again", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  await fixture.control("POST", `customers/${id}`, { card: "declined" });
  const quantity = (count: number) =>
    stripe.subscriptions.update(subscription.id, {
      items: [{ id: itemOf(subscription).id, quantity: count }],
      proration_behavior: "always_invoice",
    });
  const older = String((await quantity(2)).latest_invoice);
  const latest = String((await quantity(3)).latest_invoice);
  const pay = (invoice: string) => stripe.invoices.pay(invoice, { payment_method: "pm_card_visa" });
  expect(await pay(older)).toMatchObject({ amount_paid: 3_000 });
  expect(await stripe.subscriptions.retrieve(subscription.id)).toMatchObject({ status: "past_due" });
  await pay(latest);
  expect(await stripe.subscriptions.retrieve(subscription.id)).toMatchObject({ status: "active" });
});

test("a cancellation at the period's end moves with the period", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id, "price_pro");
  await fixture.stripe.subscriptions.update(subscription.id, { cancel_at_period_end: true });
  const changed = await change(fixture.stripe, subscription, "price_pro_year");
  expect(changed).toMatchObject({ cancel_at: BEGIN + 365 * DAY, cancel_at_period_end: true });
});

test("a pending change that is not paid is forgotten", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  await fixture.control("POST", `customers/${id}`, { card: "declined" });
  const pending = await change(fixture.stripe, subscription, "price_pro", {
    payment_behavior: "pending_if_incomplete",
    proration_behavior: "always_invoice",
  });
  fixture.standIn.advance(23 * 3_600);
  const after = await fixture.stripe.subscriptions.retrieve(subscription.id);
  expect(after).toMatchObject({ pending_update: null, status: "active" });
  expect(await fixture.stripe.invoices.retrieve(String(pending.latest_invoice))).toMatchObject({
    status: "void",
  });
});

test.for<[string, Stripe.SubscriptionUpdateParams]>([
  ["cancel_at_period_end", { cancel_at_period_end: true }],
  ["cancel_at_period_end", { cancel_at_period_end: false }],
  ["cancel_at", { cancel_at: BEGIN + DAY }],
  ["cancel_at", { cancel_at: "" }],
  ["metadata", { metadata: { note: "x" } }],
  ["metadata", { metadata: "" }],
])("a change that may have to wait for its payment is refused with %s: %o", async ([param, more]) => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer();
  const subscription = await fixture.subscribe(id);
  const upgrade = (payment_behavior: "allow_incomplete" | "pending_if_incomplete") =>
    change(fixture.stripe, subscription, "price_pro", {
      payment_behavior,
      proration_behavior: "always_invoice",
      ...more,
    });
  const before = await fixture.events();
  await expect(upgrade("pending_if_incomplete")).rejects.toMatchObject({
    message: expect.stringContaining(`\`${param}\` is not supported`),
    param,
    statusCode: 400,
    type: "StripeInvalidRequestError",
  });
  expect(await fixture.stripe.subscriptions.retrieve(subscription.id)).toEqual(subscription);
  expect(await fixture.events()).toEqual(before);
  // By another behavior Stripe takes both at once.
  expect(itemOf(await upgrade("allow_incomplete")).price.id).toBe("price_pro");
});

test("a cancellation at the period's end is said, unsaid and at last happens", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  expect(await stripe.subscriptions.update(id, { cancel_at_period_end: true })).toMatchObject({
    cancel_at: PERIOD.end,
    cancel_at_period_end: true,
    canceled_at: BEGIN,
    cancellation_details: { reason: "cancellation_requested" },
  });
  expect(await stripe.subscriptions.update(id, { cancel_at_period_end: false })).toMatchObject({
    cancel_at: null,
    cancel_at_period_end: false,
    canceled_at: null,
  });
  const [, said, unsaid] = await fixture.events("customer.subscription.updated");
  expect(said?.data.previous_attributes).toEqual({
    cancel_at: null,
    cancel_at_period_end: false,
    canceled_at: null,
    cancellation_details: { reason: null },
  });
  expect(unsaid?.data.previous_attributes).toMatchObject({ cancel_at: PERIOD.end });

  await stripe.subscriptions.update(id, { cancel_at_period_end: true });
  fixture.standIn.advance(30 * DAY);
  expect(await stripe.subscriptions.retrieve(id)).toMatchObject({
    cancel_at_period_end: true,
    canceled_at: BEGIN,
    ended_at: PERIOD.end,
    status: "canceled",
  });
  const [deleted] = await fixture.events("customer.subscription.deleted");
  expect(deleted?.created).toBe(PERIOD.end);
  expect((await stripe.invoices.list()).data).toHaveLength(1);
});

test("a subscription is cancelled at once, and then is over", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  const details = { comment: "Too much", feedback: "too_expensive" } as const;
  expect(await stripe.subscriptions.cancel(id, { cancellation_details: details })).toMatchObject({
    canceled_at: BEGIN,
    cancellation_details: { ...details, reason: "cancellation_requested" },
    ended_at: BEGIN,
    status: "canceled",
  });
  await expect(stripe.subscriptions.cancel(id)).rejects.toMatchObject({ statusCode: 404 });
  const update = stripe.subscriptions.update(id, { cancel_at_period_end: true });
  await expect(update).rejects.toMatchObject({ statusCode: 400 });
  expect(await stripe.subscriptions.update(id, { metadata: { note: "x" } })).toMatchObject({
    metadata: { note: "x" },
  });
  fixture.standIn.advance(60 * DAY);
  expect((await stripe.invoices.list()).data).toHaveLength(1);
});

test("a moment to cancel at ends it in the middle of a period", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const { id } = await fixture.subscribe(customer);
  await fixture.stripe.subscriptions.update(id, { cancel_at: BEGIN + 5 * DAY });
  fixture.standIn.advance(TEN_DAYS);
  expect(await fixture.stripe.subscriptions.retrieve(id)).toMatchObject({ ended_at: BEGIN + 5 * DAY });
});

test("a trial is ended by request, and billed from then on", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const trial = await fixture.subscribe(customer, "price_pro", { trial_period_days: 14 });
  expect(trial).toMatchObject({ status: "trialing", trial_end: BEGIN + 14 * DAY });
  const first = await fixture.stripe.invoices.retrieve(String(trial.latest_invoice));
  expect(first).toMatchObject({ amount_due: 0, status: "paid" });
  fixture.standIn.advance(DAY);
  const ended = await fixture.stripe.subscriptions.update(trial.id, { trial_end: "now" });
  expect(ended).toMatchObject({
    billing_cycle_anchor: BEGIN + DAY,
    status: "active",
    trial_end: BEGIN + DAY,
  });
  const invoice = await fixture.stripe.invoices.retrieve(String(ended.latest_invoice));
  expect(linesOf(invoice)).toEqual([
    {
      amount: 9_000,
      period: { end: BEGIN + 31 * DAY, start: BEGIN + DAY },
      price: "price_pro",
      proration: false,
    },
  ]);
});

test("a change during a trial keeps the trial and costs nothing", async () => {
  await using fixture = await startFixture();
  const { id: customer } = await fixture.customer();
  const trial = await fixture.subscribe(customer, "price_startup", { trial_period_days: 14 });
  const changed = await change(fixture.stripe, trial, "price_pro_year", {
    proration_behavior: "always_invoice",
  });
  expect(changed).toMatchObject({ latest_invoice: trial.latest_invoice, status: "trialing" });
  expect(itemOf(changed)).toMatchObject({ current_period_end: BEGIN + 14 * DAY });
});

test("an open invoice is voided", async () => {
  await using fixture = await startFixture();
  const { id } = await fixture.customer("declined");
  const { latest_invoice } = await fixture.subscribe(id);
  expect(await fixture.stripe.invoices.voidInvoice(String(latest_invoice))).toMatchObject({ status: "void" });
  expect((await fixture.stripe.invoices.list({ customer: id, status: "open" })).data).toEqual([]);
});
