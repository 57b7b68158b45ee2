import assert from "node:assert/strict";
import { ApiError } from "../_shared/http.ts";
import { logged } from "../_shared/testing.ts";
import {
  assertError,
  assertRefused,
  type Call,
  NOW,
  PRICES,
  SECONDS,
  SECRET_KEY,
  type Setting,
  type StripeRequest,
  send,
  stripeError,
  subscription,
} from "./testing.ts";

const run = async (path: string, setting: Setting) => {
  const headers = { apikey: SECRET_KEY };
  const { result, lines } = await logged(() => send(path, { headers, ...setting }));
  return { ...result, lines };
};

for (const path of ["/recover", "/reconcile"]) {
  for (const [what, headers] of [
    ["without a key", {}],
    ["with an empty key", { apikey: "" }],
    ["with another key", { apikey: "sb_secret_of_another" }],
    ["with a part of the key", { apikey: SECRET_KEY.slice(0, -1) }],
    ["with the key where a user's token goes", { authorization: `Bearer ${SECRET_KEY}` }],
  ] as [string, Record<string, string>][]) {
    Deno.test(`${path} ${what}: 401, and nothing is asked`, async () => {
      const sent = await send(path, { headers });
      await assertRefused(sent, 401, "unauthorized");
      assert.deepEqual(sent.calls, []);
    });
  }

  Deno.test(`${path}: 503 without a key of Stripe`, async () => {
    await assertRefused(await run(path, { isConfigured: false }), 503, "stripe_not_configured");
  });
}

// Recovery -------------------------------------------------------------------------------------------------------

const EVENTS = "GET /events";
const event = (i: number) => ({
  id: `evt_${i}`,
  object: "event",
  type: "customer.subscription.updated",
  created: SECONDS - 1000 + i,
  data: { object: { id: "sub_1" } },
});
const ingested = (i: number, status = "processed", changes = {}) => [
  {
    event_id: `evt_${i}`,
    type: "customer.subscription.updated",
    status,
    tenant_id: null,
    plan_id: null,
    previous_plan_id: null,
    is_upgrade: false,
    error: null,
    ...changes,
  },
];
const numberOf = (args: Record<string, unknown>) => Number((args.event as { id: string }).id.slice(4));

/** So many events, newest first, by pages of two, as Stripe lists them. */
const listing = (total: number) => (request: StripeRequest) => {
  const after = request.params.starting_after;
  const newest = after ? Number(after.slice(4)) - 1 : total;
  const numbers = [newest, newest - 1].filter((i) => i >= 1);
  return { object: "list", data: numbers.map(event), has_more: newest > 2, url: "/v1/events" };
};

const recovery = (total: number, database: Setting["database"] = {}) =>
  run("/recover", {
    database: {
      begin_stripe_recovery: [{ since: "2026-03-01T11:50:00.5+00:00", types: ["invoice.paid"] }],
      get_unknown_stripe_events: (args: Record<string, unknown>) => args.event_ids,
      ingest_stripe_event: (args: Record<string, unknown>) => ingested(numberOf(args)),
      complete_stripe_recovery: null,
      ...database,
    },
    stripe: { [EVENTS]: listing(total) },
  });

Deno.test("all events since the mark are ingested, oldest first, and the mark moves to the beginning of the run", async () => {
  const { response, calls, requests } = await recovery(5);
  assert.deepEqual(await response.json(), {
    since: "2026-03-01T11:50:00.500Z",
    until: NOW.toISOString(),
    events: { processed: 5 },
  });
  const recovered = calls.filter(({ name }) => name === "ingest_stripe_event");
  assert.deepEqual(
    recovered.map(({ args }) => args.event),
    [1, 2, 3, 4, 5].map(event),
  );
  assert.deepEqual(calls.at(-1), {
    as: "service",
    name: "complete_stripe_recovery",
    args: { until: NOW.toISOString() },
  });
  assert.equal(requests.length, 3);
  assert.deepEqual(requests[0]?.params, {
    "created[gte]": String(Date.parse("2026-03-01T11:50:00Z") / 1000),
    limit: "100",
    "types[0]": "invoice.paid",
  });
});

Deno.test("of all events only those that never came are ingested, oldest first", async () => {
  const { response, calls } = await recovery(5, { get_unknown_stripe_events: ["evt_4", "evt_2"] });
  assert.deepEqual((await response.json()).events, { processed: 2 });
  assert.deepEqual(
    calls.map(({ as, name, args }) => [as, name, args.event_ids ?? args.event]),
    [
      ["service", "begin_stripe_recovery", undefined],
      ["service", "get_unknown_stripe_events", ["evt_5", "evt_4", "evt_3", "evt_2", "evt_1"]],
      ["service", "ingest_stripe_event", event(2)],
      ["service", "ingest_stripe_event", event(4)],
      ["service", "complete_stripe_recovery", undefined],
    ],
  );
});

Deno.test("where all events came none is ingested, and the mark moves", async () => {
  const { response, calls } = await recovery(3, { get_unknown_stripe_events: [] });
  assert.deepEqual((await response.json()).events, {});
  assert.deepEqual(
    calls.map(({ name }) => name),
    ["begin_stripe_recovery", "get_unknown_stripe_events", "complete_stripe_recovery"],
  );
});

Deno.test("a database that does not say which events came leaves the mark: 503", async () => {
  const refusal = new ApiError(503, "database_unavailable", "Try again.");
  const sent = await recovery(3, { get_unknown_stripe_events: refusal });
  await assertError(sent, 503, "database_unavailable");
  assert.deepEqual(
    sent.calls.map(({ name }) => name),
    ["begin_stripe_recovery", "get_unknown_stripe_events"],
  );
});

Deno.test("events are counted by what became of them", async () => {
  const statuses = ["processed", "duplicate", "stale", "ignored", "failed", "duplicate"];
  const { response, lines } = await recovery(6, {
    ingest_stripe_event: (args: Record<string, unknown>) =>
      ingested(numberOf(args), statuses[numberOf(args) - 1], { error: "tenant_unknown" }),
  });
  assert.deepEqual((await response.json()).events, {
    processed: 1,
    duplicate: 2,
    stale: 1,
    ignored: 1,
    failed: 1,
  });
  assert.deepEqual(
    lines.map(({ msg, event_id }) => [msg, event_id]),
    [["Failed to process subscription update", "evt_5"]],
  );
});

Deno.test("where nothing was missed the mark moves too", async () => {
  const { response, calls } = await recovery(0);
  assert.deepEqual((await response.json()).events, {});
  assert.equal(calls.at(-1)?.name, "complete_stripe_recovery");
});

for (const [what, error] of [
  ["cannot be reached", new ApiError(503, "database_unavailable", "Try again.")],
  ["fails", new Error("unforeseen")],
] as const) {
  Deno.test(`a database that ${what} while it ingests leaves the mark: 503`, async () => {
    const sent = await recovery(3, {
      ingest_stripe_event: (args: Record<string, unknown>) => (numberOf(args) === 2 ? error : ingested(1)),
    });
    await assertError(sent, 503, "recovery_interrupted");
    assert.deepEqual(
      sent.calls.map(({ name }) => name),
      ["begin_stripe_recovery", "get_unknown_stripe_events", "ingest_stripe_event", "ingest_stripe_event"],
    );
  });
}

Deno.test("an event that the database refuses for good does not keep the later ones waiting", async () => {
  const { response, calls, lines } = await recovery(3, {
    ingest_stripe_event: (args: Record<string, unknown>) =>
      numberOf(args) === 2 ? new ApiError(400, "invalid_event", "No event.") : ingested(numberOf(args)),
  });
  assert.deepEqual((await response.json()).events, { processed: 2, refused: 1 });
  assert.equal(calls.at(-1)?.name, "complete_stripe_recovery");
  assert.equal(lines[0]?.event_id, "evt_2");
});

Deno.test("a Stripe that cannot be read leaves the mark", async () => {
  const sent = await run("/recover", {
    database: { begin_stripe_recovery: [{ since: "2026-03-01T11:50:00+00:00", types: [] }] },
    stripe: { [EVENTS]: stripeError(500, { type: "api_error", message: "Oops." }) },
  });
  await assertError(sent, 503, "stripe_unavailable");
  assert.deepEqual(
    sent.calls.map(({ name }) => name),
    ["begin_stripe_recovery"],
  );
});

// Reconciliation -------------------------------------------------------------------------------------------------

const SUBSCRIPTIONS = "GET /subscriptions";
const list = (...data: unknown[]) => ({ object: "list", data, has_more: false, url: "/v1/subscriptions" });
const reconciliation = (setting: Setting) =>
  run("/reconcile", {
    ...setting,
    database: { price_list: PRICES, reconcile_subscriptions: [], ...setting.database },
  });
const difference = (changes = {}) => ({
  stripe_subscription_id: "sub_1",
  tenant_id: "tenant-1",
  field: "status",
  ours: "active",
  theirs: "past_due",
  ...changes,
});

/** What was compared: by whom, which subscriptions, as of when, and whether they were the last. */
const comparisons = (calls: Call[]) =>
  calls
    .filter(({ name }) => name === "reconcile_subscriptions")
    .map(({ as, args: { subscriptions, fetched_at, is_last } }) => {
      const ids = (subscriptions as { id: string }[]).map(({ id }) => id);
      return [as, ids, fetched_at, is_last] as const;
    });

Deno.test("all that have not ended are compared, and each difference is on the log", async () => {
  const { response, calls, lines, requests } = await reconciliation({
    database: {
      reconcile_subscriptions: ({ is_last }: Record<string, unknown>) => (is_last ? [] : [difference()]),
    },
    stripe: {
      [SUBSCRIPTIONS]: list(
        subscription({ id: "sub_1" }),
        subscription({ id: "sub_2", status: "incomplete_expired" }),
        subscription({ id: "sub_3", status: "canceled" }),
        subscription({ id: "sub_4", status: "past_due" }),
      ),
    },
  });
  assert.deepEqual(await response.json(), { checked: 2, differences: [difference()] });
  assert.deepEqual(comparisons(calls), [
    ["service", ["sub_1", "sub_4"], NOW.toISOString(), false],
    ["service", [], NOW.toISOString(), true],
  ]);
  assert.deepEqual(lines, [{ level: "warn", msg: "Subscription differed from Stripe's", ...difference() }]);
  assert.deepEqual(requests[0]?.params, { limit: "100" });
});

for (const [total, sizes] of [
  [0, [0]],
  [50, [50, 0]],
  [51, [50, 1, 0]],
] as const) {
  Deno.test(`${total} subscriptions are compared by ${sizes.join(", ")}; only the last call says that it is`, async () => {
    const ids = Array.from({ length: total }, (_, i) => `sub_${i + 1}`);
    const { response, calls } = await reconciliation({
      database: {
        reconcile_subscriptions: ({ subscriptions }: Record<string, unknown>) =>
          (subscriptions as { id: string }[])
            .slice(0, 1)
            .map(({ id }) => difference({ stripe_subscription_id: id })),
      },
      stripe: { [SUBSCRIPTIONS]: list(...ids.map((id) => subscription({ id }))) },
    });
    const compared = comparisons(calls);
    assert.deepEqual(
      compared.map(([, page]) => page.length),
      sizes,
    );
    assert.deepEqual(
      compared.flatMap(([, page]) => page),
      ids,
    );
    assert.deepEqual(
      compared.map(([, , fetchedAt, isLast]) => [fetchedAt, isLast]),
      sizes.map((size) => [NOW.toISOString(), size === 0]),
    );
    // Those of every page.
    const firsts = ids.filter((_, i) => i % 50 === 0);
    const differences = firsts.map((id) => difference({ stripe_subscription_id: id }));
    assert.deepEqual(await response.json(), { checked: total, differences });
  });
}

Deno.test("what only we take for running is asked for, and compared by itself", async () => {
  const missing = (id: string) => difference({ stripe_subscription_id: id, field: "missing", theirs: null });
  const found = difference({ stripe_subscription_id: "sub_2", theirs: "canceled" });
  const canceled = subscription({ id: "sub_2", status: "canceled" });
  const { response, calls } = await reconciliation({
    database: {
      reconcile_subscriptions: (args: Record<string, unknown>) =>
        args.is_last ? [missing("sub_2"), missing("sub_3")] : [found],
    },
    stripe: {
      [SUBSCRIPTIONS]: list(),
      "GET /subscriptions/sub_2": canceled,
      "GET /subscriptions/sub_3": stripeError(404, {
        type: "invalid_request_error",
        code: "resource_missing",
        message: "No such subscription.",
      }),
    },
  });
  assert.deepEqual((await response.json()).differences, [missing("sub_2"), missing("sub_3"), found]);
  const { subscriptions, is_last } = calls.at(-1)?.args ?? {};
  assert.deepEqual([subscriptions, is_last], [[canceled], false]);
  assert.deepEqual(
    comparisons(calls).map(([, ids, , isLast]) => [ids, isLast]),
    [
      [[], true],
      [["sub_2"], false],
    ],
  );
});

Deno.test("a Stripe that cannot be read is compared with nothing", async () => {
  const broken = stripeError(500, { type: "api_error", message: "Oops." });
  const sent = await reconciliation({ stripe: { [SUBSCRIPTIONS]: broken } });
  await assertError(sent, 503, "stripe_unavailable");
  assert.deepEqual(
    sent.calls.map(({ name }) => name),
    ["price_list"],
  );
});

Deno.test("prices of the environment that the database has not are set before", async () => {
  const { calls } = await reconciliation({
    database: { set_stripe_price: {} },
    prices: { startup_monthly: "price_startup_monthly", enterprise_monthly: "price_e" },
    stripe: { [SUBSCRIPTIONS]: list() },
  });
  assert.deepEqual(
    calls.map(({ as, name, args }) => [as, name, args.price_id, args.stripe_price_id]),
    [
      ["nobody", "price_list", undefined, undefined],
      ["service", "set_stripe_price", "enterprise_monthly", "price_e"],
      ["service", "reconcile_subscriptions", undefined, undefined],
    ],
  );
});

Deno.test("a price that there is not is an error on the log, and the comparison goes on", async () => {
  const refusal = new ApiError(404, "price_not_found", "There is no price.");
  const { response, lines } = await reconciliation({
    database: { set_stripe_price: refusal },
    prices: { vintage_monthly: "price_v" },
    stripe: { [SUBSCRIPTIONS]: list() },
  });
  assert.equal(response.status, 200);
  assert.deepEqual(
    lines.map(({ level, price_id }) => [level, price_id]),
    [["error", "vintage_monthly"]],
  );
});

Deno.test("a database that cannot take a price compares nothing: 503", async () => {
  const sent = await reconciliation({
    database: { set_stripe_price: new ApiError(503, "database_unavailable", "Try again.") },
    prices: { startup_monthly: "price_other" },
  });
  await assertRefused(sent, 503, "database_unavailable");
});

Deno.test("a subscription that cannot be read is not taken for one that is no more", async () => {
  const missing = difference({ field: "missing", theirs: null });
  const { response } = await reconciliation({
    database: { reconcile_subscriptions: [missing] },
    stripe: {
      [SUBSCRIPTIONS]: list(),
      "GET /subscriptions/sub_1": stripeError(400, { type: "invalid_request_error", message: "Not so." }),
    },
  });
  assert.deepEqual([response.status, (await response.json()).error.code], [502, "stripe_refused"]);
});
