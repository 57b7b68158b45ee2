import { expect, test } from "vitest";
import { BEGIN, DAY, itemOf, startFixture } from "./fixture.ts";

test("events of the older API version have periods, payments and prices where they stood then", async () => {
  await using fixture = await startFixture();
  await fixture.control("POST", "deliveries", { api_shape: "2024-06-20" });
  const { id: customer } = await fixture.customer();
  const subscription = await fixture.subscribe(customer, "price_startup", { metadata: { tenant_id: "t1" } });
  await fixture.stripe.subscriptions.update(subscription.id, {
    items: [{ id: itemOf(subscription).id, price: "price_pro" }],
    proration_behavior: "always_invoice",
  });

  const [created] = await fixture.events("customer.subscription.created");
  expect(created?.api_version).toBe("2024-06-20");
  expect(created?.data.object).toMatchObject({
    current_period_end: BEGIN + 30 * DAY,
    current_period_start: BEGIN,
    plan: { amount: 3_000, id: "price_startup" },
  });
  expect(Object.keys(itemOf(created?.data.object as typeof subscription))).not.toContain(
    "current_period_end",
  );

  const [, updated] = await fixture.events("customer.subscription.updated");
  expect(updated?.data.previous_attributes).toMatchObject({
    items: { data: [{ price: { id: "price_startup" } }] },
    plan: { id: "price_startup" },
  });

  const [first, second] = await fixture.events("invoice.paid");
  const intent = (await fixture.events("payment_intent.succeeded"))[0]?.data.object as { id: string };
  const charge = (await fixture.events("charge.succeeded"))[0]?.data.object as { id: string };
  expect(first?.data.object).toMatchObject({
    charge: charge.id,
    lines: {
      data: [{ price: { id: "price_startup", unit_amount: 3_000 }, proration: false, type: "subscription" }],
    },
    paid: true,
    payment_intent: intent.id,
    subscription: subscription.id,
    subscription_details: { metadata: { tenant_id: "t1" } },
  });
  expect(first?.data.object).not.toHaveProperty("parent");
  expect(second?.data.object).toMatchObject({
    lines: {
      data: [
        { amount: -3_000, price: { id: "price_startup" }, proration: true, type: "invoiceitem" },
        { amount: 9_000, price: { id: "price_pro" }, proration: true, type: "invoiceitem" },
      ],
    },
  });
});

test("the API itself stays in the current shape, as do events again afterwards", async () => {
  await using fixture = await startFixture();
  await fixture.control("POST", "deliveries", { api_shape: "2024-06-20" });
  const { id: customer } = await fixture.customer();
  const subscription = await fixture.subscribe(customer);
  expect(itemOf(subscription).current_period_end).toBe(BEGIN + 30 * DAY);
  await fixture.control("POST", "deliveries", { api_shape: "current" });
  await fixture.stripe.subscriptions.cancel(subscription.id);
  const [deleted] = await fixture.events("customer.subscription.deleted");
  expect(deleted?.data.object).not.toHaveProperty("current_period_end");
});
