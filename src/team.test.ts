import { expect, test } from "vitest";
import type { AuditEvent, AuditQuery } from "./audit_event.ts";
import type { Client } from "./client.ts";
import { Team } from "./team.ts";

/** A team, and what was asked of the database. */
function teamOf() {
  const calls: unknown[] = [];
  const rpc = async (name: string, args: object) => {
    calls.push([name, args]);
    return { data: null, error: null, status: 204 };
  };
  const queries: AuditQuery[] = [];
  const getAuditEvents = async (_?: string, query: AuditQuery = {}): Promise<AuditEvent[]> => {
    queries.push(query);
    return [];
  };
  return { team: new Team({ rpc } as unknown as Client, { getAuditEvents }), calls, queries };
}

test("leaving needs no session that the client knows of", async () => {
  const { team, calls } = teamOf();
  expect(await team.leave("t")).toBeUndefined();
  expect(calls).toEqual([["leave_tenant", { tenant_id: "t" }]]);
});

test("activity is what the database saw of members, invites and keys, and goes on after a page", async () => {
  const { team, queries } = teamOf();
  const before = { occurred_at: "2027-02-01T00:00:00+00:00", event_id: "x" };
  await team.getActivity("t", { limit: 2, before });
  await team.getActivity("t");
  const common = { category: "activity", source: "database" };
  expect(queries).toEqual([
    { ...common, limit: 2, before },
    { ...common, limit: 50 },
  ]);
});
