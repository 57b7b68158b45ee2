import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeEach, expect, inject, test } from "vitest";
import { type AuditEvent, createMeterbase, KBAudit, type Meterbase, TrialAudit } from "../../src/index.ts";
import { createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";

const sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

const operator = createMeterbase(service);
const DAY_MS = 86_400_000;
const range = () => [new Date(Date.now() - DAY_MS), new Date(Date.now() + DAY_MS)] as const;

let owner: Person;
let stranger: Person;
let tenant: Tenant;
let mb: Meterbase;

beforeEach(async () => {
  [owner, stranger] = await Promise.all([signUp(), signUp()]);
  [tenant] = await Promise.all([createTenant(owner.client), createTenant(stranger.client)]);
  mb = createMeterbase(owner.client);
});

async function all(events: AsyncIterable<AuditEvent>): Promise<AuditEvent[]> {
  const collected = [];
  for await (const event of events) collected.push(event);
  return collected;
}

test("an event is recorded once for its id, by whoever calls", async () => {
  const event = {
    event_id: randomUUID(),
    event_type: "workflow.deployed",
    action: "deployed",
    entity_type: "workflow",
    entity_id: "w1",
    old_values: { version: 1 },
    new_values: { version: 2 },
    changes_summary: "version 1 → 2",
    severity: "warning" as const,
    result: "partial" as const,
    error_message: "one step was skipped",
    metadata: { steps: 3 },
    personal: { email: "somebody@example.com" },
  };
  expect(await mb.audit.logAuditEvent(tenant.id, event)).toBe(event.event_id);
  expect(await mb.audit.logAuditEvent(tenant.id, event)).toBe(event.event_id);
  const other = await createTenant(owner.client);
  await expect(mb.audit.logAuditEvent(other.id, event)).rejects.toMatchObject({
    name: "ConflictError",
    code: "idempotency_key_reused",
  });
  expect(await mb.audit.getAuditEvents(tenant.id, { action: "workflow." })).toEqual([
    {
      ...event,
      tenant_id: tenant.id,
      occurred_at: expect.any(String),
      actor_type: "tenant",
      actor_id: owner.id,
      source: "application",
      ip_address: null,
      user_agent: expect.any(String),
      request_id: null,
      resolved_at: null,
      resolved_by: null,
      resolution_note: null,
    },
  ]);
});

test("what may not be logged or read is a typed error", async () => {
  const log = (event: object) => mb.audit.logAuditEvent(tenant.id, { event_type: "a", ...event });
  await expect(log({ event_type: "No!" })).rejects.toMatchObject({
    name: "InvalidRequestError",
    code: "invalid_event_type",
    status: 400,
  });
  await expect(log({ metadata: { text: "x".repeat(70_000) } })).rejects.toMatchObject({
    code: "audit_event_too_large",
  });
  await expect(log({ actor_type: "visitor", actor_id: "v1" })).rejects.toMatchObject({
    name: "PermissionError",
    code: "actor_not_yours",
  });
  await expect(mb.audit.logAuditEvent(null, { event_type: "a" })).rejects.toMatchObject({
    name: "PermissionError",
    code: "platform_admin_only",
  });
  await expect(operator.audit.logAuditEvent(randomUUID(), { event_type: "a" })).rejects.toMatchObject({
    name: "NotFoundError",
    code: "tenant_not_found",
  });

  const foreign = createMeterbase(stranger.client).audit;
  const refused = [
    foreign.logAuditEvent(tenant.id, { event_type: "a" }),
    foreign.getAuditEvents(tenant.id),
    foreign.iterateAuditEvents(tenant.id).next(),
    foreign.getTenantAuditTrail(tenant.id),
    foreign.getFailedOperations(tenant.id),
    foreign.getSecurityEvents(tenant.id),
    foreign.generateAuditReport(tenant.id, ...range()),
    foreign.verifyAuditChain(tenant.id),
    foreign.kb.deleted(tenant.id, "kb"),
    foreign.getAuditEvents(),
    foreign.verifyAuditChain(null),
    foreign.eraseAuditPersonalData({ userId: owner.id }),
  ];
  for (const outcome of await Promise.allSettled(refused)) {
    expect(outcome).toMatchObject({
      status: "rejected",
      reason: {
        name: "PermissionError",
        code: expect.stringMatching(/^(permission_denied|platform_admin_only)$/),
      },
    });
  }
  await expect(mb.audit.getAuditEvents(tenant.id, { limit: 1_001 })).rejects.toMatchObject({
    code: "invalid_max_rows",
  });
});

test("every filter finds what it names and leaves out the rest", async () => {
  const actor = { actor_type: "visitor" as const, actor_id: randomUUID() };
  const told = await operator.audit.logAuditEvent(tenant.id, {
    event_type: "payment_failed",
    action: "declined",
    entity_type: "invoice",
    entity_id: "in_1",
    severity: "error",
    result: "failure",
    ...actor,
  });
  const others = ["payment.failed", "payments"].map((event_type) =>
    operator.audit.logAuditEvent(tenant.id, { event_type }),
  );
  await Promise.all(others);
  const found = async (query: Parameters<Meterbase["audit"]["getAuditEvents"]>[1]) =>
    (await mb.audit.getAuditEvents(tenant.id, query)).map(({ event_id }) => event_id);
  for (const query of [
    { action: "payment_" },
    { action: "declined" },
    { entityType: "invoice" },
    { entityId: "in_1" },
    { actorType: actor.actor_type },
    { userId: actor.actor_id },
    { severity: "error" as const },
    { result: "failure" as const },
    { action: "payment", entityType: "invoice", severity: "error" as const },
  ]) {
    expect([query, await found(query)]).toEqual([query, [told]]);
  }
  expect(await found({ action: "payment", severity: "critical" })).toEqual([]);
  expect(await found({ action: "payment" })).toHaveLength(3);
  const [event] = await mb.audit.getAuditEvents(tenant.id, { action: "payment_" });
  const at = event?.occurred_at as string;
  expect(await found({ action: "payment_", from: at })).toEqual([told]);
  expect(await found({ action: "payment_", to: at })).toEqual([]);
  expect(await found({ from: new Date(Date.now() + DAY_MS) })).toEqual([]);
});

test("pages, also within one instant, hold every event once and in order", async () => {
  for (const n of [1, 2, 3]) await mb.audit.kb.deleted(tenant.id, `kb${n}`);
  const whole = await mb.audit.getAuditEvents(tenant.id, { limit: 1_000 });
  const instants = new Set(whole.map(({ occurred_at }) => occurred_at));
  expect(instants.size).toBeLessThan(whole.length); // those of making the tenant are of one transaction
  for (const pageSize of [1, 2, whole.length, 1_000]) {
    expect(await all(mb.audit.iterateAuditEvents(tenant.id, {}, pageSize))).toEqual(whole);
  }
  const kbs = await all(mb.audit.iterateAuditEvents(tenant.id, { action: "kb_" }, 2));
  expect(kbs.map(({ entity_id }) => entity_id)).toEqual(["kb3", "kb2", "kb1"]);
  expect(await mb.audit.getTenantAuditTrail(tenant.id)).toEqual(whole);
  expect(await mb.audit.getTenantAuditTrail(tenant.id, 1, 2)).toEqual(whole.slice(0, 2));

  const later = createMeterbase(owner.client, { audit: { now: () => new Date(Date.now() + 3 * DAY_MS) } });
  expect(await later.audit.getTenantAuditTrail(tenant.id, 2)).toEqual([]);
  expect(await later.audit.getTenantAuditTrail(tenant.id, 4)).toEqual(whole);
});

test("failures, security events and a report agree, and a resolution is counted", async () => {
  await mb.audit.kb.uploadFailed(tenant.id, "a.pdf", new Error("disk full"));
  await mb.audit.logAuditEvent(tenant.id, { event_type: "crawl_done", result: "partial" });
  const violation = await mb.audit.error.securityViolation(tenant.id, "token_forged", { path: "/x" });
  const access = ["rate_limit_exceeded", "unauthorized_call"];
  for (const event_type of access) await mb.audit.logAuditEvent(tenant.id, { event_type });
  await mb.apiKeys.createApiKey(tenant.id, { name: "CI", role: "viewer" });

  const typesOf = (events: AuditEvent[]) => events.map(({ event_type }) => event_type);
  const failed = await mb.audit.getFailedOperations(tenant.id);
  expect(typesOf(failed)).toEqual(["security_violation", "crawl_done", "kb_upload_failed"]);
  const security = await mb.audit.getSecurityEvents(tenant.id);
  expect(typesOf(security)).toEqual([
    "api_key_created",
    ...access.toReversed(),
    "security_violation",
    "membership_created",
  ]);
  expect(typesOf(await operator.audit.getSecurityEvents(undefined, 1))).toEqual(
    expect.arrayContaining(["security_violation"]),
  );

  const report = await mb.audit.generateAuditReport(tenant.id, ...range());
  expect(report).toMatchObject({
    tenant_id: tenant.id,
    failed_operations: failed.length,
    security_events: security.length,
    severe_events: 2,
    unresolved_severe_events: 2,
    by_event_type: { security_violation: 1, kb_upload_failed: 1, api_key_created: 1 },
    by_result: { partial: 1, failure: 2 },
    access_changes: [
      { event_type: "membership_created", entity_id: owner.id, new_role: "owner", old_role: null },
      { event_type: "api_key_created", new_role: "viewer" },
    ],
    integrity: { is_intact: true, problems: [] },
  });
  expect(report.total_events).toBe((await all(mb.audit.iterateAuditEvents(tenant.id))).length);

  const resolution = await mb.audit.resolveAuditEvent(violation, "key rotated");
  expect(resolution).toMatchObject({ event_id: violation, note: "key rotated", resolved_by: owner.id });
  expect(await mb.audit.resolveAuditEvent(violation, "again")).toEqual(resolution);
  expect(await mb.audit.getAuditEvents(tenant.id, { action: "security_" })).toMatchObject([
    { event_id: violation, resolution_note: "key rotated", resolved_by: owner.id },
  ]);
  expect(await mb.audit.generateAuditReport(tenant.id, ...range())).toMatchObject({
    severe_events: 2,
    unresolved_severe_events: 1,
  });
  await expect(createMeterbase(stranger.client).audit.resolveAuditEvent(violation)).rejects.toMatchObject({
    name: "NotFoundError",
    code: "audit_event_not_found",
  });
  const [from, to] = range();
  await expect(mb.audit.generateAuditReport(tenant.id, to, from)).rejects.toMatchObject({
    code: "invalid_range",
  });
  expect(await mb.audit.generateAuditReport(tenant.id, "2020-01-01", "2020-01-02")).toMatchObject({
    total_events: 0,
    by_day: {},
    access_changes: [],
  });
});

test("the chain is verified, against an anchor, and tells what was tampered with", async () => {
  const event = await mb.audit.kb.deleted(tenant.id, "kb");
  await sql`select private.seal_audit_events()`;
  const before = await mb.audit.verifyAuditChain(tenant.id);
  expect(before).toMatchObject({ is_intact: true, pending: 0, problems: [] });
  expect(before.head_seq).toBe(before.events);
  expect(before.head_hash).toMatch(/^[0-9a-f]{64}$/);
  await mb.audit.kb.deleted(tenant.id, "kb2");
  expect(await mb.audit.verifyAuditChain(tenant.id, before)).toMatchObject({
    is_intact: true,
    events: expect.any(Number),
  });
  expect(await mb.audit.verifyAuditChain(tenant.id, { ...before, head_hash: "0".repeat(64) })).toMatchObject({
    is_intact: false,
    problems: [{ seq: before.head_seq, problem: "anchor_differs" }],
  });

  await sql`update public.audit_events set entity_id = 'other' where event_id = ${event}`;
  expect(await mb.audit.verifyAuditChain(tenant.id)).toMatchObject({
    is_intact: false,
    problems: [{ event_id: event, problem: "event_edited" }],
  });
  expect(await operator.audit.verifyAuditChain(null)).toMatchObject({ events: expect.any(Number) });
  const untouched = await createTenant(service);
  expect(await operator.audit.verifyAuditChain(untouched.id, { head_seq: 0, head_hash: null })).toMatchObject(
    {
      is_intact: true,
    },
  );
});

test("personal data is erased, and the chain stays intact", async () => {
  await new TrialAudit(mb).created(tenant.id, { plan: "trial", email: stranger.email });
  const [before] = await mb.audit.getAuditEvents(tenant.id, { action: "trial_created", limit: 1 });
  expect(before).toMatchObject({ personal: { email: stranger.email }, new_values: { plan: "trial" } });
  await sql`select private.seal_audit_events()`;

  expect(await operator.audit.eraseAuditPersonalData({ email: stranger.email })).toBeGreaterThanOrEqual(1);
  const [after] = await mb.audit.getAuditEvents(tenant.id, { action: "trial_created", limit: 1 });
  expect(after).toEqual({ ...before, personal: null, user_agent: null, ip_address: null });
  expect(await mb.audit.verifyAuditChain(tenant.id)).toMatchObject({ is_intact: true });
  await expect(operator.audit.eraseAuditPersonalData({})).rejects.toMatchObject({ code: "invalid_request" });
});

test("every builder's event is accepted by the database", async () => {
  const { audit } = mb;
  const ids = await Promise.all([
    audit.trial.created(tenant.id, { plan_id: "trial" }),
    audit.trial.upgraded(tenant.id, "trial", "pro"),
    audit.trial.extended(tenant.id, 7, new Date()),
    audit.trial.expired(tenant.id),
    audit.trial.cancelled(tenant.id, "too dear"),
    audit.kb.uploaded(tenant.id, "kb", "a.pdf", 10),
    audit.kb.uploadFailed(tenant.id, "a.pdf", "too large"),
    audit.kb.crawled(tenant.id, "job", "https://example.com/", 12),
    audit.kb.manualAdded(tenant.id, "kb", ["intro"]),
    audit.kb.deleted(tenant.id, "kb"),
    audit.chat.sessionCreated(tenant.id, "s", "v"),
    audit.chat.messageReceived(tenant.id, "s", 40),
    audit.chat.responseSent(tenant.id, "s", 150),
    audit.chat.sessionEnded(tenant.id, "s", 60_000),
    audit.config.brandingUpdated(tenant.id, "c", { color: "#fff" }),
    audit.config.toolsAssigned(tenant.id, "c", ["search"]),
    audit.config.widgetGenerated(tenant.id, "c", "<script></script>"),
    audit.error.apiError(tenant.id, "/api/chat", 502, new Error("upstream")),
    audit.error.quotaExceeded(tenant.id, "tokens", 10_000, 10_050),
    audit.error.securityViolation(tenant.id, "token_forged", { path: "/x" }),
  ]);
  const events = await mb.audit.getAuditEvents(tenant.id, { limit: 1_000 });
  const told = events.filter(({ source }) => source === "application");
  expect(told.map(({ event_id }) => event_id).sort()).toEqual(ids.sort());

  const event_id = randomUUID();
  const visitor = { event_id, actor_type: "visitor" as const, actor_id: "v" };
  for (let i = 0; i < 2; i++) {
    expect(await new KBAudit(operator.audit).deleted(tenant.id, "kb", visitor)).toBe(event_id);
  }
  expect(await mb.audit.getAuditEvents(tenant.id, { actorType: "visitor" })).toMatchObject([
    { event_id, actor_id: "v", event_type: "kb_deleted" },
  ]);
});
