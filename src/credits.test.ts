import { createClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { Credits } from "./credits.ts";
import type { Database } from "./database.types.ts";

/** Credits over a project that answers as told, and what was asked of it: method, path and arguments. */
function creditsOver(answer: unknown) {
  const sent: unknown[][] = [];
  const project = async (input: RequestInfo | URL, options: RequestInit = {}) => {
    const { pathname, searchParams } = new URL(String(input));
    const path = [pathname.replace("/rest/v1/", ""), ...[...searchParams].flat()].join(" ");
    sent.push([options.method, path, ...(options.body ? [JSON.parse(String(options.body))] : [])]);
    return Response.json(answer);
  };
  const client = createClient<Database>("http://project.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: project },
    realtime: { transport: class {} as unknown as typeof WebSocket },
  });
  return { credits: new Credits(client), sent };
}

const entry = {
  id: 7,
  tenant_id: "t",
  kind: "grant",
  amount: 50,
  balance: 350,
  grants: { "3": 50 },
  reason: "gift",
  idempotency_key: null,
  effective_at: "2027-01-01T00:00:00.123456+00:00",
  expires_at: "infinity",
  created_at: "2027-01-01T00:00:00+00:00",
};

test.each([
  [undefined, ""],
  [new Date(0), " at 1970-01-01T00:00:00.000Z"],
  ["2027-01-01", " at 2027-01-01"],
])("the balance at %s is asked for by a GET", async (at, sent) => {
  const project = creditsOver(300);
  expect(await project.credits.balance("t", at)).toBe(300);
  expect(project.sent).toEqual([["GET", `rpc/get_credit_balance tenant_id t${sent}`]]);
});

test("a denied debit is an answer", async () => {
  const denied = { allowed: false, amount: 5, balance: 3, reason: "insufficient_credits", entry_id: null };
  const project = creditsOver([denied]);
  expect(await project.credits.debit("t", 5, "audit", { idempotencyKey: "ключ" })).toEqual(denied);
  await project.credits.debit("t", 5, "audit");
  const args = { tenant_id: "t", amount: 5, reason: "audit" };
  expect(project.sent).toEqual([
    ["POST", "rpc/debit_credits", { ...args, idempotency_key: "ключ" }],
    ["POST", "rpc/debit_credits", args],
  ]);
});

test("the ledger is read newest first, and goes on after an entry", async () => {
  const project = creditsOver([entry]);
  expect(await project.credits.ledger("t")).toEqual([entry]);
  await project.credits.ledger("t", { limit: 2, before: { id: 7, effective_at: entry.effective_at } });
  const ordered = "order effective_at.desc,id.desc offset 0 limit";
  expect(project.sent).toEqual([
    ["GET", `credit_ledger select * tenant_id eq.t ${ordered} 50`],
    [
      "GET",
      `credit_ledger select * tenant_id eq.t effective_at lte.${entry.effective_at} id lt.7 ${ordered} 2`,
    ],
  ]);
});

test.each([
  [{}, {}],
  [
    { expiresAt: new Date(0), idempotencyKey: "k" },
    { expires_at: "1970-01-01T00:00:00.000Z", idempotency_key: "k" },
  ],
])("a grant with %j", async (options, sent) => {
  const project = creditsOver(entry);
  expect(await project.credits.grant("t", 50, "gift", options)).toEqual(entry);
  const args = { tenant_id: "t", amount: 50, reason: "gift", ...sent };
  expect(project.sent).toEqual([["POST", "rpc/grant_credits", args]]);
});

test.each([2 ** 53, 0.5, "300", null])("a balance of %j is a typed error", async (balance) => {
  await expect(creditsOver(balance).credits.balance("t")).rejects.toMatchObject({
    code: "unexpected_answer",
  });
});
