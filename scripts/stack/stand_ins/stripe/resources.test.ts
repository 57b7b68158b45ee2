import { Stripe } from "stripe";
import { expect, test } from "vitest";
import { BEGIN, startFixture } from "./fixture.ts";

test("customers are made, changed, listed and deleted", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const made = await stripe.customers.create({
    email: "a@example.com",
    metadata: { tenant_id: "t1", x: "1" },
  });
  expect(made).toMatchObject({
    created: BEGIN,
    email: "a@example.com",
    metadata: { tenant_id: "t1", x: "1" },
  });
  const changed = await stripe.customers.update(made.id, { metadata: { x: "" }, name: "Ada" });
  expect(changed).toMatchObject({ metadata: { tenant_id: "t1" }, name: "Ada" });
  expect((await stripe.customers.list({ email: "a@example.com" })).data).toEqual([changed]);
  expect((await stripe.customers.list({ email: "b@example.com" })).data).toEqual([]);

  expect(await stripe.customers.del(made.id)).toMatchObject({ deleted: true, id: made.id });
  expect(await stripe.customers.retrieve(made.id)).toEqual({
    deleted: true,
    id: made.id,
    object: "customer",
  });
  const [created, updated, deleted] = await fixture.events();
  expect([created?.type, updated?.type, deleted?.type]).toEqual([
    "customer.created",
    "customer.updated",
    "customer.deleted",
  ]);
  expect(updated?.data.previous_attributes).toEqual({ metadata: { x: "1" }, name: null });
  expect(updated?.data.object).toMatchObject({ metadata: { tenant_id: "t1" }, name: "Ada" });
  expect(updated?.request?.id).toMatch(/^req_/);
});

test("deleting a customer ends its subscriptions", async () => {
  await using fixture = await startFixture();
  const customer = await fixture.customer();
  const { id } = await fixture.subscribe(customer.id);
  await fixture.stripe.customers.del(customer.id);
  expect(await fixture.stripe.subscriptions.retrieve(id)).toMatchObject({ status: "canceled" });
});

test("products and prices are those to sell, and such as are made", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  expect((await stripe.prices.list()).data.map(({ id }) => id).sort()).toEqual([
    "price_pro",
    "price_pro_year",
    "price_startup",
  ]);
  const { data: products } = await stripe.products.list({ active: true });
  expect(products.map(({ name }) => name).sort()).toEqual(["Pro", "Startup"]);
  const price = await stripe.prices.retrieve("price_pro_year", { expand: ["product"] });
  expect(price).toMatchObject({
    product: { name: "Pro" },
    recurring: { interval: "year" },
    unit_amount: 90_000,
  });
  expect(price.unit_amount_decimal?.toString()).toBe("90000");

  const product = await stripe.products.create({ name: "Scale" });
  const made = await stripe.prices.create({
    currency: "eur",
    lookup_key: "scale",
    product: product.id,
    recurring: { interval: "month" },
    unit_amount: 500,
  });
  expect((await stripe.prices.list({ lookup_keys: ["scale"] })).data).toEqual([made]);
});

test("a list goes by pages, the newest first", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) ids.unshift((await stripe.customers.create({ name: `${i}` })).id);
  const first = await stripe.customers.list({ limit: 2 });
  expect(first).toMatchObject({ has_more: true, object: "list", url: "/v1/customers" });
  expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
  const second = await stripe.customers.list({ limit: 3, starting_after: String(ids[1]) });
  expect(second.has_more).toBe(false);
  expect(second.data.map(({ id }) => id)).toEqual(ids.slice(2));
  const back = await stripe.customers.list({ ending_before: String(ids[3]), limit: 2 });
  expect(back.data.map(({ id }) => id)).toEqual(ids.slice(1, 3));
  expect(await stripe.customers.list({ limit: 2 }).autoPagingToArray({ limit: 100 })).toHaveLength(5);
});

test("events are listed by type and by time", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const customer = await stripe.customers.create();
  fixture.standIn.advance(60);
  await stripe.customers.update(customer.id, { name: "Ada" });
  const types = async (params: Stripe.EventListParams) =>
    (await stripe.events.list(params)).data.map(({ type }) => type);
  expect(await types({})).toEqual(["customer.updated", "customer.created"]);
  expect(await types({ types: ["customer.created", "customer.deleted"] })).toEqual(["customer.created"]);
  expect(await types({ created: { gte: BEGIN + 60 } })).toEqual(["customer.updated"]);
  expect(await types({ created: { gt: BEGIN, lt: BEGIN + 60 } })).toEqual([]);
  expect(await types({ created: { lte: BEGIN } })).toEqual(["customer.created"]);
  expect(await types({ created: BEGIN })).toEqual(["customer.created"]);
  const [event] = (await stripe.events.list({ type: "customer.created" })).data;
  expect(await stripe.events.retrieve(String(event?.id))).toEqual(event);
  expect(event).toMatchObject({ api_version: Stripe.API_VERSION, created: BEGIN, livemode: false });
});

test("a key that is missing or wrong is an authentication error", async () => {
  await using fixture = await startFixture();
  const stripe = new Stripe("sk_test_other", {
    host: "127.0.0.1",
    port: fixture.standIn.port,
    protocol: "http",
  });
  await expect(stripe.customers.list()).rejects.toBeInstanceOf(Stripe.errors.StripeAuthenticationError);
  const response = await fetch(`${fixture.standIn.url}/v1/customers`);
  expect(response.status).toBe(401);
});

test("errors are in Stripe's shape", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const failure = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
  expect(await failure(stripe.customers.retrieve("cus_none"))).toMatchObject({
    code: "resource_missing",
    message: "No such customer: 'cus_none'",
    param: "id",
    statusCode: 404,
    type: "StripeInvalidRequestError",
  });
  const params: Stripe.Checkout.SessionCreateParams = {
    mode: "subscription",
    success_url: "http://localhost/",
  };
  expect(await failure(stripe.checkout.sessions.create(params))).toMatchObject({
    code: "parameter_missing",
    param: "line_items",
    statusCode: 400,
  });
  const noPrice = { ...params, line_items: [{ price: "price_none", quantity: 1 }] };
  expect(await failure(stripe.checkout.sessions.create(noPrice))).toMatchObject({
    code: "resource_missing",
    param: "line_items[0][price]",
    statusCode: 400,
  });
  expect(await failure(stripe.customers.create({ shipping: { address: {}, name: "x" } }))).toMatchObject({
    code: "parameter_unknown",
    param: "shipping",
  });
  expect(await failure(stripe.coupons.list())).toMatchObject({ statusCode: 404 });
  await stripe.customers.create();
  expect(await failure(stripe.customers.list({ expand: ["data.nothing"] }))).toMatchObject({
    message: "This property cannot be expanded (data.nothing).",
    statusCode: 400,
  });
});

test("an idempotency key gives the first answer again, and refuses other parameters", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const first = await stripe.customers.create({ name: "Ada" }, { idempotencyKey: "k1" });
  const again = await stripe.customers.create({ name: "Ada" }, { idempotencyKey: "k1" });
  expect(again.id).toBe(first.id);
  expect((await stripe.customers.list()).data).toHaveLength(1);
  const other = stripe.customers.create({ name: "Bob" }, { idempotencyKey: "k1" });
  await expect(other).rejects.toMatchObject({ rawType: "idempotency_error", statusCode: 400 });
  const elsewhere = stripe.customers.update(first.id, { name: "Ada" }, { idempotencyKey: "k1" });
  await expect(elsewhere).rejects.toMatchObject({ rawType: "idempotency_error" });

  fixture.standIn.advance(86_400);
  expect((await stripe.customers.create({ name: "Ada" }, { idempotencyKey: "k1" })).id).not.toBe(first.id);
});

test("a replayed answer says so", async () => {
  await using fixture = await startFixture();
  const create = () =>
    fetch(`${fixture.standIn.url}/v1/customers`, {
      headers: { authorization: `Bearer ${fixture.standIn.secretKey}`, "idempotency-key": "k" },
      method: "POST",
    });
  expect((await create()).headers.get("idempotent-replayed")).toBeNull();
  expect((await create()).headers.get("idempotent-replayed")).toBe("true");
});

test("a refused request may be put right with the same key", async () => {
  await using fixture = await startFixture();
  const { stripe } = fixture;
  const customer = await fixture.customer();
  const create = (price: string) =>
    stripe.subscriptions.create({ customer: customer.id, items: [{ price }] }, { idempotencyKey: "k" });
  await expect(create("price_none")).rejects.toMatchObject({ code: "resource_missing" });
  expect(await create("price_pro")).toMatchObject({ status: "active" });
});

test("requests are on record until they are forgotten", async () => {
  await using fixture = await startFixture();
  await fixture.stripe.customers.create({ metadata: { a: "b" } }, { idempotencyKey: "k" });
  expect(await fixture.control("GET", "requests")).toEqual([
    {
      idempotency_key: "k",
      method: "POST",
      params: { metadata: { a: "b" } },
      path: "/v1/customers",
      status: 200,
    },
  ]);
  await fixture.control("DELETE", "requests");
  expect(await fixture.control("GET", "requests")).toEqual([]);
});

test("requests fail as often as they are asked to, and do nothing", async () => {
  await using fixture = await startFixture();
  await fixture.control("POST", "failures", { count: 1, status: 503 });
  await expect(fixture.stripe.customers.create()).rejects.toMatchObject({ statusCode: 503 });
  await fixture.stripe.customers.create();
  expect((await fixture.stripe.customers.list()).data).toHaveLength(1);
});
