import { randomUUID } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import { createMeterbase, type Meterbase, QuotaStatus } from "../../src/index.ts";
import { createTenant, service, signUp, type Tenant } from "../helpers/people.ts";

let mb: Meterbase;
let tenant: Tenant;

beforeAll(async () => {
  const { client } = await signUp();
  tenant = await createTenant(client);
  mb = createMeterbase(client);
});

test("every method of quota gives back what the database answers", async () => {
  const taken = await mb.quota.consumeQuota(tenant.id, "embeddings", {
    amount: 40,
    idempotencyKey: randomUUID(),
  });
  expect(taken).toMatchObject({
    allowed: true,
    period: "day",
    limit_value: 50,
    used: 40,
    remaining: 10,
    reason: null,
  });
  expect(await mb.quota.checkTenantQuota(tenant.id, "embeddings", { amount: 11 })).toMatchObject({
    allowed: false,
    reason: "quota_exceeded",
    used: 40,
    decision_id: null,
  });
  const held = await mb.quota.reserveQuota(tenant.id, "embeddings", 10, { ttlSeconds: 60 });
  expect(held).toMatchObject({ allowed: true, used: 50, remaining: 0, reservation_id: expect.any(String) });
  const denied = await mb.quota.consumeQuota(tenant.id, "embeddings");
  expect(denied).toMatchObject({ allowed: false, decision_id: expect.any(String) });
  const settled = await mb.quota.settleReservation(held.reservation_id as string, 3, {
    event_id: "settled",
    event_type: "embedding",
    quantity: 3,
  });
  expect(settled).toMatchObject({ used: 43, reservation_id: held.reservation_id });
  const released = await mb.quota.reserveQuota(tenant.id, "embeddings", 5);
  expect(await mb.quota.releaseReservation(released.reservation_id as string)).toMatchObject({ used: 43 });

  const status = await mb.quota.getQuotaStatus(tenant.id);
  expect(status.find((entry) => entry.metric === "embeddings")).toEqual(
    QuotaStatus.parse({
      metric: "embeddings",
      unit: "embedding",
      kind: "counter",
      period: "day",
      per: "tenant",
      limit_value: 50,
      used: 43,
      remaining: 7,
      percentage: 86,
      band: "warning",
      resets_at: taken.resets_at,
      enforcement: "hard",
      is_override: false,
      overage: 0,
    }),
  );
  const custom = await createMeterbase(service).quota.setCustomQuota(tenant.id, "embeddings", null, "month");
  expect(custom).toMatchObject({ metric: "embeddings", period: "month", per: "tenant", limit_value: null });
});

test("a reservation grows while its work goes on", async () => {
  const held = await mb.quota.reserveQuota(tenant.id, "chat_messages", 60);
  const id = held.reservation_id as string;
  expect(await mb.quota.extendReservation(id, 30)).toMatchObject({
    allowed: true,
    used: 90,
    reservation_id: id,
  });
  expect(await mb.quota.extendReservation(id, 30)).toMatchObject({ allowed: false, used: 90 });
  expect(await mb.quota.settleReservation(id, 70)).toMatchObject({ used: 70 });

  const others = await Promise.all([1, 2].map(() => mb.quota.reserveQuota(tenant.id, "chat_messages", 10)));
  const settlements = others.map(({ reservation_id }, i) => ({
    reservationId: reservation_id as string,
    actualAmount: i + 1,
  }));
  const settled = await mb.quota.settleReservations(settlements);
  expect(settled.map(({ reservation_id }) => reservation_id).sort()).toEqual(
    settlements.map(({ reservationId }) => reservationId).sort(),
  );
  expect(await mb.quota.checkTenantQuota(tenant.id, "chat_messages")).toMatchObject({ used: 73 });
});

test("callers at once share a call, and each gets its own answer", async () => {
  const { id } = await createTenant(service);
  const other = await createTenant(service);
  const operator = createMeterbase(service);
  await operator.quota.setCustomQuota(id, "tokens", 10);
  const asked = Array.from({ length: 12 }, () => operator.quota.consumeQuota(id, "tokens"));
  const elsewhere = operator.quota.consumeQuota(other.id, "embeddings", { amount: 4 });
  const wrong = operator.quota.consumeQuota(id, "tokens", { amount: 0 });
  await expect(wrong).rejects.toMatchObject({ code: "invalid_amount" });
  const decisions = await Promise.all(asked);
  expect(decisions.map(({ used }) => used)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10]);
  expect(decisions.map(({ allowed }) => allowed)).toEqual([...Array(10).fill(true), false, false]);
  expect(await elsewhere).toMatchObject({ allowed: true, metric: "embeddings", used: 4 });
  expect(await operator.quota.getQuotaChecks(id)).toEqual([{ metric: "tokens", allowed: 10, denied: 2 }]);
});

test("several quotas are taken together or not at all, and a denial is explained", async () => {
  const { id } = await createTenant(service);
  const operator = createMeterbase(service);
  const taken = await operator.quota.enforceMultipleQuotas(id, [
    { metric: "tokens", amount: 150 },
    { metric: "chat_messages", amount: 99 },
  ]);
  expect(taken).toMatchObject({ allowed: true, results: [{ used: 150 }, { used: 99 }] });
  const refused = await operator.quota.enforceMultipleQuotas(id, [
    { metric: "tokens", amount: 150 },
    { metric: "chat_messages", amount: 2 },
  ]);
  expect(refused).toMatchObject({
    allowed: false,
    results: [
      { allowed: false, used: 150, reason: "denied_together" },
      { allowed: false, used: 99, reason: "quota_exceeded" },
    ],
  });
  const decisionId = refused.results[1]?.decision_id as string;
  expect(await operator.quota.explainDecision(decisionId)).toMatchObject({
    plan_id: "trial",
    amount: 2,
    windows: [{ period: "day", used: 99, limit_value: 100 }],
    explanation: expect.stringMatching(
      /^Denied: 2 of chat_messages was asked for when 99 of 100 was used in the day/,
    ),
  });
  await expect(mb.quota.explainDecision(decisionId)).rejects.toMatchObject({ code: "decision_not_found" });
});

test("operators set, clear and reset; members see their rate limits", async () => {
  const operator = createMeterbase(service);
  const { client } = await signUp();
  const { id } = await createTenant(client);
  await operator.quota.setCustomQuota(id, "tokens", 5);
  await operator.quota.consumeQuota(id, "tokens", { amount: 5 });
  expect(await operator.quota.clearCustomQuota(id, "tokens")).toMatchObject({ limit_value: 5 });
  expect(await operator.quota.clearCustomQuota(id, "tokens")).toBeNull();
  expect(await operator.quota.checkTenantQuota(id, "tokens")).toMatchObject({ used: 5, limit_value: 10_000 });
  expect(await operator.quota.resetQuotaCounter(id, "tokens", { subject: "" })).toBe(1);
  expect(await operator.quota.checkTenantQuota(id, "tokens")).toMatchObject({ used: 0 });
  expect(await createMeterbase(client).quota.getRateLimitUsage()).toMatchObject([
    { tenant_id: id, tier: "trial", requests: 30, requests_remaining: 30, analysis_runs: null },
  ]);
});

test("usage is recorded once and read back", async () => {
  const events = [
    {
      event_id: "a",
      event_type: "api_call",
      api_status_code: 200,
      api_response_time_ms: 12.5,
      tokens_consumed: 7,
    },
    { event_id: "b", event_type: "api_call", api_status_code: 500 },
    { event_id: "a", event_type: "api_call" },
    { event_id: "c", event_type: "walk" },
  ];
  expect(await mb.usage.recordUsage(tenant.id, events)).toEqual({
    accepted: 2,
    duplicates: 1,
    rejected: [{ index: 3, reason: "unknown_event_type", field: "event_type", event_id: "c" }],
  });
  expect(await mb.usage.recordUsage(tenant.id, events.slice(0, 2))).toMatchObject({
    accepted: 0,
    duplicates: 2,
  });
  expect(await mb.usage.getTodayUsage(tenant.id)).toMatchObject({
    api_calls_total: 2,
    api_calls_failed: 1,
    api_latency_avg_ms: 12.5,
    total_tokens_used: 7,
    error_rate: 0.5,
  });
});

test("misuse is a typed error with a stable code", async () => {
  await expect(mb.quota.consumeQuota(tenant.id, "naps")).rejects.toMatchObject({
    name: "NotFoundError",
    code: "metric_not_found",
    status: 404,
  });
  await expect(mb.quota.consumeQuota(tenant.id, "tokens", { amount: -5 })).rejects.toMatchObject({
    name: "InvalidRequestError",
    code: "invalid_amount",
  });
  const key = { idempotencyKey: randomUUID() };
  await mb.quota.consumeQuota(tenant.id, "tokens", { amount: 1, ...key });
  await expect(mb.quota.consumeQuota(tenant.id, "tokens", { amount: 2, ...key })).rejects.toMatchObject({
    name: "ConflictError",
    code: "idempotency_key_reused",
  });
});

test("a database that is away is its own kind of error", async () => {
  const nowhere = createMeterbase(supabaseClient("http://127.0.0.1:9", "sb_publishable_none"));
  await expect(nowhere.quota.consumeQuota(tenant.id, "tokens")).rejects.toMatchObject({
    name: "UnavailableError",
    status: 0,
  });
});
