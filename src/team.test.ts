import { expect, test } from "vitest";
import type { AuditEvent, AuditQuery } from "./audit_event.ts";
import type { Client } from "./client.ts";
import { Team } from "./team.ts";

/** A team over a session, and what was asked of the database. */
function teamOf(session: object | null, error: object | null = null) {
  const calls: unknown[] = [];
  const rpc = async (name: string, args: object) => {
    calls.push([name, args]);
    return { data: null, error: null, status: 204 };
  };
  const auth = { getSession: async () => ({ data: { session }, error }) };
  const queries: AuditQuery[] = [];
  const getAuditEvents = async (_?: string, query: AuditQuery = {}) => {
    queries.push(query);
    const n = queries.length;
    return [{ event_id: `e${n}`, occurred_at: `2027-01-01T00:00:0${n}+00:00` } as AuditEvent];
  };
  return { team: new Team({ rpc, auth } as unknown as Client, { getAuditEvents }), calls, queries };
}

test("leaving removes the user of the session", async () => {
  const { team, calls } = teamOf({ user: { id: "u" } });
  expect(await team.leave("t")).toBeUndefined();
  expect(calls).toEqual([["remove_member", { tenant_id: "t", user_id: "u" }]]);
});

test.each([
  [null, { name: "PermissionError", code: "permission_denied", status: 403 }],
  [
    { status: 400, message: "refresh token" },
    { name: "PermissionError", code: "permission_denied" },
  ],
  [
    { status: 503, message: "down" },
    { name: "UnavailableError", code: "unavailable", status: 503 },
  ],
  [{ message: "fetch failed" }, { name: "UnavailableError", code: "unavailable", status: 0 }],
])("without a session (%j), leaving fails as %j and asks for nothing", async (error, expected) => {
  const { team, calls } = teamOf(null, error);
  await expect(team.leave("t")).rejects.toMatchObject(expected);
  expect(calls).toEqual([]);
});

test("activity is what the database saw of members, invites and keys, and goes on after a page", async () => {
  const { team, queries } = teamOf(null);
  const before = { occurred_at: "2027-02-01T00:00:00+00:00", event_id: "x" };
  await team.getActivity("t", { limit: 2, before });
  await team.getActivity("t");
  const common = { category: "activity", source: "database" };
  expect(queries).toEqual([
    { ...common, limit: 2, before },
    { ...common, limit: 50 },
  ]);
});
