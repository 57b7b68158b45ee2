import { expect, test } from "vitest";
import { BEGIN, DAY, type Fixture, itemOf, startFixture } from "./fixture.ts";

async function openPortal(fixture: Fixture) {
  const { id: customer } = await fixture.customer();
  const subscription = await fixture.subscribe(customer);
  const portal = await fixture.stripe.billingPortal.sessions.create({
    customer,
    return_url: "http://localhost/billing?a=1&b=2",
  });
  return {
    act: (fields: Record<string, string>) =>
      fixture.submit(portal.url, { subscription: subscription.id, ...fields }),
    customer,
    page: async () => (await fetch(portal.url)).text(),
    portal,
    retrieve: () => fixture.stripe.subscriptions.retrieve(subscription.id),
  };
}

test("the page shows the subscription and what can be done", async () => {
  await using fixture = await startFixture();
  const { page, portal } = await openPortal(fixture);
  expect(portal).toMatchObject({
    object: "billing_portal.session",
    return_url: "http://localhost/billing?a=1&b=2",
  });
  const text = await page();
  for (const label of [
    "Cancel at period end",
    "Cancel now",
    "Switch to Pro, 90.00 USD a month",
    "Switch to Pro, 900.00 USD a year",
    "Update payment method (works)",
    "Update payment method (is declined)",
    'href="http://localhost/billing?a=1&amp;b=2"',
  ]) {
    expect(text).toContain(label);
  }
  expect(text).not.toContain("Switch to Startup");
  expect(text).not.toContain("Resume");
});

test("a cancellation is asked for and taken back", async () => {
  await using fixture = await startFixture();
  const { act, page, portal, retrieve } = await openPortal(fixture);
  const { location } = await act({ action: "cancel_at_period_end" });
  expect(location).toBe(new URL(portal.url).pathname);
  expect(await retrieve()).toMatchObject({ cancel_at: BEGIN + 30 * DAY, cancel_at_period_end: true });
  expect(await page()).toContain("Resume");
  await act({ action: "resume" });
  expect(await retrieve()).toMatchObject({ cancel_at: null, cancel_at_period_end: false });
  await act({ action: "cancel_now" });
  expect(await retrieve()).toMatchObject({ status: "canceled" });
});

test("another price is switched to, and billed at once", async () => {
  await using fixture = await startFixture();
  const { act, retrieve } = await openPortal(fixture);
  await act({ action: "switch", price: "price_pro" });
  const subscription = await retrieve();
  expect(itemOf(subscription).price.id).toBe("price_pro");
  expect(await fixture.stripe.invoices.retrieve(String(subscription.latest_invoice))).toMatchObject({
    total: 6_000,
  });
});

test("a card is replaced, and pays what was left open", async () => {
  await using fixture = await startFixture();
  const { act, page, retrieve } = await openPortal(fixture);
  await act({ action: "card", card: "declined" });
  fixture.standIn.advance(30 * DAY);
  const pastDue = await retrieve();
  expect(pastDue).toMatchObject({ status: "past_due" });
  await act({ action: "card", card: "works" });
  expect(await page()).toContain("Pay invoice");
  await act({ action: "pay", invoice: String(pastDue.latest_invoice) });
  expect(await retrieve()).toMatchObject({ status: "active" });
});

test("a portal changes nothing of another customer", async () => {
  await using fixture = await startFixture();
  const { act } = await openPortal(fixture);
  const { id: other } = await fixture.customer();
  const theirs = await fixture.subscribe(other);
  await act({ action: "cancel_now", subscription: theirs.id });
  expect(await fixture.stripe.subscriptions.retrieve(theirs.id)).toMatchObject({ status: "active" });
  expect((await fetch(`${fixture.standIn.url}/p/session/bps_none`)).status).toBe(404);
});
