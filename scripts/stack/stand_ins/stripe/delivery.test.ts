import { Stripe } from "stripe";
import { expect, test } from "vitest";
import { type Fixture, startFixture, startReceiver } from "./fixture.ts";

interface Listed {
  deliveries: {
    event_id: string;
    type: string;
    attempts: number;
    status: string;
    response_status: number | null;
  }[];
  pending: number;
}

const deliveries = (fixture: Fixture) => fixture.control<Listed>("GET", "deliveries");

async function makeCustomers(fixture: Fixture, count: number): Promise<string[]> {
  for (let i = 0; i < count; i++) await fixture.stripe.customers.create();
  return (await fixture.events()).slice(-count).map(({ id }) => id);
}

test("events go to the webhook in order, signed over the exact body", async () => {
  await using fixture = await startFixture();
  await using receiver = await startReceiver();
  const ids = await makeCustomers(fixture, 3);
  fixture.standIn.deliverTo(receiver.url);
  await fixture.standIn.settled();
  expect(receiver.ids()).toEqual(ids);
  for (const { body, event, signature } of receiver.received) {
    const { webhookSecret } = fixture.standIn;
    expect(await Stripe.webhooks.constructEventAsync(body, signature, webhookSecret)).toEqual(event);
    const other = Stripe.webhooks.constructEventAsync(body, signature, "whsec_other");
    await expect(other).rejects.toBeInstanceOf(Stripe.errors.StripeSignatureVerificationError);
  }
  expect((await deliveries(fixture)).deliveries[0]).toEqual({
    attempts: 1,
    event_id: ids[0],
    response_status: 200,
    status: "delivered",
    type: "customer.created",
  });
});

test("the signature is of now, however far the stand-in's clock was advanced", async () => {
  await using fixture = await startFixture({ now: () => new Date() });
  await using receiver = await startReceiver();
  fixture.standIn.deliverTo(receiver.url);
  fixture.standIn.advance(90 * 86_400);
  await makeCustomers(fixture, 1);
  await fixture.standIn.settled();
  const [one] = receiver.received;
  const { created } = await Stripe.webhooks.constructEventAsync(
    String(one?.body),
    String(one?.signature),
    fixture.standIn.webhookSecret,
  );
  expect(created).toBeGreaterThan(Date.now() / 1000 + 89 * 86_400);
});

test("an event is sent again until it is answered with 2xx, and the next ones wait for it", async () => {
  await using fixture = await startFixture();
  const answers = [500, 302, 200, 200];
  await using receiver = await startReceiver(() => answers.shift() ?? 200);
  fixture.standIn.deliverTo(receiver.url);
  const [first, second] = await makeCustomers(fixture, 2);
  await fixture.standIn.settled();
  expect(receiver.ids()).toEqual([first, first, first, second]);
  expect((await deliveries(fixture)).deliveries.map(({ attempts }) => attempts)).toEqual([3, 1]);
});

test("held events wait until they are released, in the order that is asked for", async () => {
  await using fixture = await startFixture();
  await using receiver = await startReceiver();
  fixture.standIn.deliverTo(receiver.url);
  await fixture.control("POST", "deliveries", { hold: true });
  const [a, b, c, d] = await makeCustomers(fixture, 4);
  expect(await deliveries(fixture)).toMatchObject({
    deliveries: [{ status: "held" }, {}, {}, {}],
    pending: 0,
  });
  await fixture.control("POST", "deliveries/release", { order: [c, a, c] });
  await fixture.standIn.settled();
  expect(receiver.ids()).toEqual([c, a, c]);
  await fixture.control("POST", "deliveries/release");
  await fixture.standIn.settled();
  expect(receiver.ids().slice(3)).toEqual([b, d]);
});

test("dropped events are never sent, and stand in the list of events", async () => {
  await using fixture = await startFixture();
  await using receiver = await startReceiver();
  fixture.standIn.deliverTo(receiver.url);
  await fixture.control("POST", "deliveries", { drop: true });
  const [lost] = await makeCustomers(fixture, 1);
  await fixture.control("POST", "deliveries", { drop: false });
  const [sent] = await makeCustomers(fixture, 1);
  await fixture.standIn.settled();
  expect(receiver.ids()).toEqual([sent]);
  expect((await fixture.events()).map(({ id }) => id)).toEqual([lost, sent]);
});

test("each event is sent as often again as it is asked for", async () => {
  await using fixture = await startFixture();
  await using receiver = await startReceiver();
  fixture.standIn.deliverTo(receiver.url);
  await fixture.control("POST", "deliveries", { duplicate: 2 });
  const [a, b] = await makeCustomers(fixture, 2);
  await fixture.standIn.settled();
  expect(receiver.ids()).toEqual([a, a, a, b, b, b]);
  expect(receiver.received[0]?.body).toBe(receiver.received[2]?.body);
});

test("shuffled events all come, in another order", async () => {
  await using fixture = await startFixture();
  await using receiver = await startReceiver();
  await fixture.control("POST", "deliveries", { duplicate: 1, shuffle: true });
  const ids = await makeCustomers(fixture, 20);
  fixture.standIn.deliverTo(receiver.url);
  await fixture.standIn.settled();
  const came = receiver.ids();
  expect([...came].sort()).toEqual([...ids, ...ids].sort());
  expect([...new Set(came)]).not.toEqual(ids);
});

test("a delay passes before each event is sent", async () => {
  await using fixture = await startFixture();
  await using receiver = await startReceiver();
  fixture.standIn.deliverTo(receiver.url);
  await fixture.control("POST", "deliveries", { delay_ms: 30 });
  const before = Date.now();
  await makeCustomers(fixture, 2);
  await fixture.standIn.settled();
  expect(Date.now() - before).toBeGreaterThanOrEqual(58);
});

test("a mode that there is not is refused", async () => {
  await using fixture = await startFixture();
  await expect(fixture.control("POST", "deliveries", { sideways: true })).rejects.toThrow("sideways");
});

test("stopping ends what is being sent", async () => {
  const fixture = await startFixture();
  await using receiver = await startReceiver(() => 500);
  fixture.standIn.deliverTo(receiver.url);
  await makeCustomers(fixture, 1);
  await fixture.standIn.stop();
  await fixture.standIn.settled();
});
