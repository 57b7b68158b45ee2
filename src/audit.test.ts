import { expect, test } from "vitest";
import { Audit } from "./audit.ts";
import type { AuditEvent } from "./audit_event.ts";
import type { Client } from "./client.ts";

interface Call {
  name: string;
  args: Record<string, unknown>;
  get?: boolean;
}

const event = (n: number, fields: Partial<AuditEvent> = {}): AuditEvent => ({
  event_id: `00000000-0000-0000-0000-${String(n).padStart(12, "0")}`,
  occurred_at: `2027-01-01T00:00:${String(n).padStart(2, "0")}+00:00`,
  tenant_id: "t",
  event_type: "kb_uploaded",
  action: "uploaded",
  entity_type: null,
  entity_id: null,
  actor_type: "tenant",
  actor_id: null,
  source: "application",
  severity: "info",
  result: "success",
  old_values: null,
  new_values: null,
  changes_summary: null,
  error_message: null,
  ip_address: null,
  user_agent: null,
  request_id: null,
  metadata: {},
  personal: null,
  resolved_at: null,
  resolved_by: null,
  resolution_note: null,
  ...fields,
});

/** An audit over a database that answers as told, and what was asked of it. */
function auditOver(answer: (call: Call) => unknown) {
  const calls: Call[] = [];
  const rpc = async (name: string, args: object, options: object) => {
    const sent = Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
    const call: Call = { name, args: sent, ...options };
    calls.push(call);
    return { data: answer(call), error: null, status: 200 };
  };
  const now = () => new Date("2027-01-31T12:00:00Z");
  return { audit: new Audit({ rpc } as unknown as Client, { now }), calls };
}

test("a query asks for what it names, and for nothing else", async () => {
  const { audit, calls } = auditOver(() => [event(1)]);
  expect(await audit.getAuditEvents("t")).toEqual([event(1)]);
  await audit.getAuditEvents(undefined, {
    action: "a",
    entityType: "b",
    entityId: "c",
    actorType: "visitor",
    userId: "d",
    severity: "error",
    result: "failure",
    from: new Date("2027-01-01T00:00:00Z"),
    to: "2027-01-02",
    limit: 5,
    before: event(2),
  });
  expect(calls).toEqual([
    { name: "get_audit_events", get: true, args: { tenant_id: "t" } },
    {
      name: "get_audit_events",
      get: true,
      args: {
        action: "a",
        entity_type: "b",
        entity_id: "c",
        actor_type: "visitor",
        user_id: "d",
        severity: "error",
        result: "failure",
        from_ts: "2027-01-01T00:00:00.000Z",
        to_ts: "2027-01-02",
        max_rows: 5,
        before_ts: event(2).occurred_at,
        before_id: event(2).event_id,
      },
    },
  ]);
});

test.each([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 2],
  [4, 3],
])("of %i events by two, iterating asks %i times, each time after the last", async (count, asked) => {
  const events = Array.from({ length: count }, (_, i) => event(count - i));
  const { audit, calls } = auditOver(({ args }) => {
    const from = events.findIndex(({ event_id }) => event_id === args.before_id) + 1;
    return events.slice(from, from + Number(args.max_rows));
  });
  const seen = [];
  for await (const one of audit.iterateAuditEvents("t", { result: "success" }, 2)) seen.push(one);
  expect(seen).toEqual(events);
  expect(calls).toHaveLength(asked);
  expect(new Set(calls.map(({ args }) => args.result))).toEqual(new Set(["success"]));
});

test("iterating asks for no page before it is needed", async () => {
  const { audit, calls } = auditOver(() => [event(2), event(1)]);
  const events = audit.iterateAuditEvents("t", {}, 2);
  expect(calls).toHaveLength(0);
  await events.next();
  await events.next();
  expect(calls).toHaveLength(1);
  await events.return();
  expect(calls).toHaveLength(1);
});

test("days count back from the clock", async () => {
  const { audit, calls } = auditOver(() => []);
  await audit.getTenantAuditTrail("t");
  await audit.getTenantAuditTrail("t", 1, 7);
  await audit.getFailedOperations("t", 2);
  await audit.getSecurityEvents(undefined, 2);
  expect(calls.map(({ args }) => args)).toEqual([
    { tenant_id: "t", from_ts: "2027-01-01T12:00:00.000Z", max_rows: 100 },
    { tenant_id: "t", from_ts: "2027-01-30T12:00:00.000Z", max_rows: 7 },
    { tenant_id: "t", category: "failed", from_ts: "2027-01-29T12:00:00.000Z", max_rows: 1_000 },
    { category: "security", from_ts: "2027-01-29T12:00:00.000Z", max_rows: 1_000 },
  ]);
});

test("what belongs to no tenant is asked for by a POST, since a GET cannot say null", async () => {
  const intact = {
    is_intact: true,
    events: 0,
    pending: 0,
    head_seq: 0,
    head_hash: null,
    anchor: null,
    problems: [],
  };
  const { audit, calls } = auditOver(({ name }) => (name === "log_audit_event" ? "id" : [intact]));
  expect(await audit.logAuditEvent(null, { event_type: "a" })).toBe("id");
  expect(await audit.verifyAuditChain(null, { head_seq: 4, head_hash: "ff" })).toEqual(intact);
  expect(calls).toEqual([
    { name: "log_audit_event", args: { tenant_id: null, event_type: "a" } },
    { name: "verify_audit_chain", args: { tenant_id: null, anchor_seq: 4, anchor_hash: "ff" } },
  ]);
});

test("values may be any JSON; an answer of another shape is a typed error", async () => {
  const odd = event(1, { metadata: ["a", 1, null], old_values: "text" });
  expect(await auditOver(() => [odd]).audit.getAuditEvents("t")).toEqual([odd]);
  const wrong = auditOver(() => [{ ...event(1), severity: "fatal" }]).audit;
  await expect(wrong.getAuditEvents("t")).rejects.toMatchObject({ code: "unexpected_answer" });
});
