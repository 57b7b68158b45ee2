import { beforeEach, expect, test, vi } from "vitest";
import type { Client } from "./client.ts";
import { InvalidRequestError, UnavailableError } from "./errors.ts";
import type { ConsumeOptions, QuotaDecision } from "./quota.ts";
import { type EnforcementOptions, Enforcer, type OfflineTake } from "./quota_enforcement.ts";

const answer = (metric: string, allowed = true) =>
  ({ metric, allowed, reason: allowed ? null : "quota_exceeded" }) as QuotaDecision;

/** A database that can be away, remembers by key what was taken, and has room for `room`. */
function database() {
  const state = {
    isAway: false,
    losesAnswers: 0,
    room: Number.POSITIVE_INFINITY,
    catalogue: undefined as unknown,
  };
  const taken = new Map<string, number>();
  const calls: string[] = [];
  const take = (metric: string, { amount = 1, idempotencyKey = "" }: ConsumeOptions) => {
    calls.push(idempotencyKey);
    if (state.isAway) throw new UnavailableError("unavailable", 0, "away");
    if (amount === 0) throw new InvalidRequestError("invalid_amount", 400, "no");
    const used = [...taken.values()].reduce((sum, one) => sum + one, 0);
    const allowed = taken.has(idempotencyKey) || used + amount <= state.room;
    if (allowed) taken.set(idempotencyKey, amount);
    if (state.losesAnswers-- > 0) throw new UnavailableError("unavailable", 0, "cut");
    return answer(metric, allowed);
  };
  const quota = {
    consumeQuota: async (_: string, metric: string, options: ConsumeOptions = {}) => take(metric, options),
    consumeQuotas: async (_: string, items: ({ metric: string } & ConsumeOptions)[]) =>
      items.map(({ metric, ...options }) => take(metric, options)),
  };
  const select = async () => ({ data: state.isAway ? null : (state.catalogue ?? null) });
  const client = { from: () => ({ select }) } as unknown as Client;
  return { state, taken, calls, quota, client };
}

let db: ReturnType<typeof database>;
const dropped: { takes: OfflineTake[]; reason: string }[] = [];
const enforcer = (options: EnforcementOptions = {}) =>
  new Enforcer(db.client, db.quota, {
    offline: {
      maxDelayMs: 10,
      onDropped: (items, reason) => dropped.push({ takes: items.map(({ item }) => item), reason }),
    },
    ...options,
  });

beforeEach(() => {
  db = database();
  dropped.length = 0;
});

test("an answer that was cut off is asked for again under the same key, and taken once", async () => {
  db.state.losesAnswers = 1;
  expect(await enforcer().enforce("t", { metric: "tokens", amount: 5 })).toMatchObject({ allowed: true });
  expect(db.calls).toHaveLength(2);
  expect([...db.taken.values()]).toEqual([5]);
});

test("while the database is away, an open metric allows and a closed one does not", async () => {
  db.state.isAway = true;
  const mb = enforcer({ failureModes: { workflows: "open" } });
  for (const metric of ["tokens", "api_calls", "chat_messages", "embeddings", "workflows"]) {
    expect(await mb.enforce("t", { metric })).toMatchObject({
      allowed: true,
      reason: "database_unavailable",
    });
  }
  for (const metric of ["executions", "analysis_runs", "anything"]) {
    expect(await mb.enforce("t", { metric })).toMatchObject({
      allowed: false,
      reason: "database_unavailable",
    });
  }
  expect(await mb.enforceAll("t", [{ metric: "tokens" }, { metric: "executions" }])).toMatchObject({
    allowed: false,
    results: [{ allowed: false }, { allowed: false }],
  });
  await mb.shutdown(0);
});

test("what it allowed meanwhile is taken afterwards under the original key; rates are forgotten", async () => {
  db.state.isAway = true;
  const mb = enforcer();
  await mb.enforce("t", { metric: "tokens", amount: 7, idempotencyKey: "mine" });
  await mb.enforce("t", { metric: "api_calls", idempotencyKey: "rate" });
  await mb.enforceAll("t", [
    { metric: "tokens", amount: 2, idempotencyKey: "first" },
    { metric: "embeddings", amount: 3, idempotencyKey: "second" },
  ]);
  db.state.isAway = false;
  await vi.waitFor(() => expect(db.taken.size).toBe(3), { timeout: 5_000 });
  expect(Object.fromEntries(db.taken)).toEqual({ mine: 7, first: 2, second: 3 });
});

test("an offline take that was carried out after all is not taken twice", async () => {
  db.state.losesAnswers = 2; // the call and its second try
  const mb = enforcer();
  expect(await mb.enforce("t", { metric: "tokens", amount: 4 })).toMatchObject({
    reason: "database_unavailable",
  });
  await mb.shutdown();
  expect([...db.taken.values()]).toEqual([4]);
});

test("who is denied afterwards is told", async () => {
  db.state.isAway = true;
  const mb = enforcer();
  await mb.enforce("t", { metric: "tokens", amount: 7, idempotencyKey: "mine" });
  db.state.isAway = false;
  db.state.room = 5;
  await mb.shutdown();
  expect(dropped).toEqual([
    { takes: [{ metric: "tokens", amount: 7, idempotencyKey: "mine" }], reason: "quota_exceeded" },
  ]);
});

test("the catalogue's failure modes hold once they have been read", async () => {
  db.state.catalogue = [
    { id: "tokens", failure_mode: "closed", default_period: "day" },
    { id: "executions", failure_mode: "open", default_period: "month" },
  ];
  const mb = enforcer();
  await mb.enforce("t", { metric: "tokens" });
  db.state.isAway = true;
  expect(await mb.enforce("t", { metric: "tokens" })).toMatchObject({ allowed: false });
  expect(await mb.enforce("t", { metric: "executions" })).toMatchObject({ allowed: true });
  await mb.shutdown(0);
});

test("misuse is an error, whatever the failure mode", async () => {
  await expect(enforcer().enforce("t", { metric: "tokens", amount: 0 })).rejects.toMatchObject({
    code: "invalid_amount",
  });
});

test("a key that is there but undefined is none: the second try has one all the same", async () => {
  db.state.losesAnswers = 1;
  await enforcer().enforce("t", { metric: "tokens", idempotencyKey: undefined as never });
  expect(new Set(db.calls).size).toBe(1);
  expect(db.calls[0]).toMatch(/^[0-9a-f-]{36}$/);
});

test("during an outage, callers are not kept waiting one after the other", async () => {
  vi.useFakeTimers();
  db.state.isAway = true;
  const mb = enforcer();
  await mb.enforce("t", { metric: "executions" });
  const asked = db.calls.length;
  await mb.enforce("t", { metric: "executions" });
  expect(db.calls).toHaveLength(asked);
  vi.advanceTimersByTime(2_000);
  db.state.isAway = false;
  expect(await mb.enforce("t", { metric: "executions" })).toMatchObject({ allowed: true, reason: null });
  vi.useRealTimers();
});

test("what an earlier process kept is taken when the next one starts", async () => {
  const item = { metric: "tokens", amount: 3, idempotencyKey: "kept" };
  const journal = { load: async () => [{ tenantId: "t", item }], save: async () => {} };
  enforcer({ offline: { journal } });
  await vi.waitFor(() => expect(Object.fromEntries(db.taken)).toEqual({ kept: 3 }));
});
