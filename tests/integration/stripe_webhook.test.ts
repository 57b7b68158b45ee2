import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import Stripe from "stripe";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { createTenant, service, signUp } from "../helpers/people.ts";
import { scaled } from "../helpers/scale.ts";
import { DAY_SECONDS, event, type StripeEvent, subscription } from "../helpers/stripe_events.ts";

const { url, stripeWebhookSecret, databaseUrl } = inject("stack");
let sql: Sql;
beforeAll(() => {
  sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
});
afterAll(() => sql.end());

const now = () => Math.floor(Date.now() / 1000);

function newEvent(tenantId?: string): StripeEvent {
  const id = randomUUID();
  const fields = { id: `sub_${id}`, customer: `cus_${id}`, price: "price_startup_monthly", status: "active" };
  const period = { start: now(), end: now() + 30 * DAY_SECONDS };
  return event(
    `evt_${id}`,
    "customer.subscription.created",
    now(),
    subscription({ ...fields, ...period, tenantId }, "2026-10-28.endive"),
  );
}

const sign = (payload: string, secret = stripeWebhookSecret, timestamp = now()) =>
  Stripe.webhooks.generateTestHeaderStringAsync({ payload, secret, timestamp });

const post = (body: string, signature: string | null) =>
  fetch(`${url}/functions/v1/stripe-webhook`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(signature && { "stripe-signature": signature }) },
    body,
  });

type Forgery = (body: string) => Promise<[body: string, signature: string | null]>;
const flip = (text: string, at: number) =>
  text.slice(0, at) + (text[at] === "x" ? "y" : "x") + text.slice(at + 1);

const FORGERIES: Record<string, [reason: string, forge: Forgery]> = {
  "a body with one character changed": [
    "signature_invalid",
    async (body) => [flip(body, Math.floor(Math.random() * body.length)), await sign(body)],
  ],
  "a body that was read and written again": [
    "signature_invalid",
    async (body) => [JSON.stringify(JSON.parse(body), null, 2), await sign(body)],
  ],
  "the keys in another order": [
    "signature_invalid",
    async (body) => [
      JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(body)).reverse())),
      await sign(body),
    ],
  ],
  "another secret": ["signature_invalid", async (body) => [body, await sign(body, `whsec_${randomUUID()}`)]],
  "a signature of six minutes ago": [
    "timestamp_out_of_tolerance",
    async (body) => [body, await sign(body, stripeWebhookSecret, now() - 360)],
  ],
  "an old signature with a new time": [
    "signature_invalid",
    async (body) => [
      body,
      (await sign(body, stripeWebhookSecret, now() - 360)).replace(/t=\d+/, `t=${now()}`),
    ],
  ],
  "half a signature": ["signature_invalid", async (body) => [body, (await sign(body)).slice(0, -20)]],
  "a signature of nothing": ["signature_invalid", async (body) => [body, "t=,v1="]],
  "no signature": ["signature_missing", async (body) => [body, null]],
  "what is no event, rightly signed": [
    "body_invalid",
    async () => {
      const body = JSON.stringify({ id: randomUUID() });
      return [body, await sign(body)];
    },
  ],
};

async function rejections(): Promise<Record<string, number>> {
  const { data, error } = await service.rpc("get_webhook_counts");
  if (error) throw error;
  return Object.fromEntries(
    data.filter(({ type }) => type === "unknown").map(({ outcome, count }) => [outcome, count]),
  ) as Record<string, number>;
}

const stored = async () =>
  Number((await sql`select count(*) from public.stripe_events where id like 'evt_%-%'`)[0]?.count);

test("what Stripe did not sign as it comes is refused, leaves no row, and is counted by its reason", async () => {
  const total = scaled(500, 10_000);
  const kinds = Object.values(FORGERIES);
  const before = { rows: await stored(), counts: await rejections() };
  const expected: Record<string, number> = { ...before.counts };
  const send = async (n: number) => {
    const [reason, forge] = kinds[n % kinds.length] as (typeof kinds)[number];
    const [body, signature] = await forge(JSON.stringify(newEvent()));
    const response = await post(body, signature);
    expect([response.status, (await response.json()).error.code]).toEqual([400, reason]);
    expected[reason] = (expected[reason] ?? 0) + 1;
  };
  let next = 0;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (next < total) await send(next++);
    }),
  );
  expect(await stored()).toBe(before.rows);
  expect(await rejections()).toEqual(expected);
}, 600_000);

test("what it signed is stored as it came, once, also when it comes many times at once", async () => {
  const tenant = await createTenant((await signUp()).client, "free");
  // Written as no second writing would write it, and with what the library does not know.
  const body = JSON.stringify(newEvent(tenant.id)).replace(
    '"livemode":false',
    '"livemode":false,  "extra": 1.50',
  );
  const answers = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const response = await post(body, await sign(body));
      expect(response.status).toBe(200);
      return (await response.json()).status as string;
    }),
  );
  expect(answers.sort()).toEqual([...Array(7).fill("duplicate"), "processed"]);
  const [row] = await sql`
    select duplicates, status, payload from public.stripe_events where id = ${JSON.parse(body).id}`;
  expect(row).toEqual({ duplicates: 7, status: "processed", payload: JSON.parse(body) });
});

test("an event that cannot be applied yet is kept, and applied when what it lacks has come", async () => {
  const orphan = newEvent();
  const body = JSON.stringify(orphan);
  const answer = await post(body, await sign(body));
  expect([answer.status, await answer.json()]).toEqual([200, { received: true, status: "failed" }]);
  const [failed] =
    await sql`select last_error, next_attempt_at > now() as again from public.stripe_events where id = ${orphan.id}`;
  expect(failed).toEqual({ last_error: expect.stringContaining("tenant_unknown"), again: true });

  const tenant = await createTenant((await signUp()).client, "free");
  await sql`update public.tenants set stripe_customer_id = ${orphan.data.object.customer as string} where id = ${tenant.id}`;
  const { data } = await service.rpc("replay_stripe_event", { event_id: orphan.id });
  expect(data).toMatchObject([
    { status: "processed", tenant_id: tenant.id, plan_id: "startup", is_upgrade: true },
  ]);
});

test("anything but POST is a 405", async () => {
  expect((await fetch(`${url}/functions/v1/stripe-webhook`)).status).toBe(405);
});
