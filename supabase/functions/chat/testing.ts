// What the tests of chat share: a chat whose every dependency is a stand-in.
import assert from "node:assert/strict";
import type { Rpc } from "../_shared/database.ts";
import { bearerToken, withErrors } from "../_shared/http.ts";
import type { Decision, Settlement } from "../_shared/quota.ts";
import { noWrites } from "../_shared/testing.ts";
import { handleChat } from "./handler.ts";
import type { Model, ModelRequest, Usage } from "./model.ts";

export const TENANT = "018f0000-0000-7000-8000-000000000001";
const START = Date.parse("2026-03-01T12:00:18Z");
export const USAGE: Usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };

// The database ---------------------------------------------------------------------------------------------------

export const decision = (metric: string, changes: Partial<Decision> = {}): Decision => ({
  allowed: true,
  metric,
  period: "minute",
  limit_value: 60,
  used: 1,
  remaining: 59,
  resets_at: "2026-03-01T12:01:00+00:00",
  reason: null,
  decision_id: null,
  ...changes,
});

const reservation = (metric: string) => ({ ...decision(metric), reservation_id: `${metric} reservation` });

export const denial = (metric: string) => ({
  ...decision(metric, { allowed: false, remaining: 0, reason: "limit_reached", decision_id: "receipt" }),
  reservation_id: null,
});

/** What it is asked, as a key: the function and, of its arguments, what tells one call from the other. */
const question = (name: string, args: Record<string, unknown>) =>
  [name, args.metric ?? args.reservation_id].filter(Boolean).join(" ");

export const TAKE = ["count_request", "reserve_quota chat_messages", "reserve_quota tokens"];
export const CLOSE = "settle_reservations";

export const RELEASE = "release_reservation chat_messages reservation";

export const EXTEND = "extend_reservation tokens reservation";

const GRANTED: Record<string, unknown> = {
  count_request: [decision("api_calls")],
  "reserve_quota chat_messages": [reservation("chat_messages")],
  "reserve_quota tokens": [reservation("tokens")],
  [CLOSE]: [reservation("chat_messages"), reservation("tokens")],
  [EXTEND]: [reservation("tokens")],
  [RELEASE]: null,
  record_usage: [{ accepted: 1, duplicates: 0, rejected: [] }],
  log_audit_event: "018f0000-0000-7000-8000-00000000000a",
};

interface Call {
  token: string | null;
  question: string;
  args: Record<string, unknown>;
}

/**
 * Grants everything but what `answers` says, which may be a function; an error is thrown. Every call is a step but telling
 * the audit, which nothing waits for.
 */
function database(answers: Record<string, unknown>, steps: string[]) {
  const calls: Call[] = [];
  const rpc =
    (token: string | null): Rpc =>
    async (name, args) => {
      const asked = question(name, args);
      if (asked !== "log_audit_event") steps.push(asked);
      calls.push({ token, question: asked, args });
      const given = { ...GRANTED, ...answers }[asked];
      const answer = typeof given === "function" ? await given() : given;
      assert.notEqual(answer, undefined, `unexpected: ${asked}`);
      if (answer instanceof Error) throw answer;
      return answer;
    };
  return { rpc, calls };
}

// The model ------------------------------------------------------------------------------------------------------

/** Gives the pieces, then reports its usage, or does not, or fails. */
export const saying = (pieces: string[], end: Usage | "unreported" | Error = USAGE): Model =>
  async function* () {
    yield* pieces;
    if (end instanceof Error) throw end;
    return end === "unreported" ? undefined : end;
  };

// A request ------------------------------------------------------------------------------------------------------

export interface Setting {
  /** Changes to the request. */
  body?: Record<string, unknown>;
  init?: RequestInit;
  /** Answers of the database that are not grants. */
  answers?: Record<string, unknown>;
  model?: Model;
  stallMs?: number;
}

/** Sends one request to a chat whose every dependency is a stand-in. */
export async function chat({
  body = {},
  init = {},
  answers = {},
  model = saying(["Hi", " there"]),
  stallMs = 60_000,
}: Setting = {}) {
  const steps: string[] = [];
  const { rpc, calls } = database(answers, steps);
  const asked: ModelRequest[] = [];
  let clock = START;
  let id = 0;
  const handle = withErrors((request) =>
    handleChat(request, {
      identify: async (request) => {
        const token = bearerToken(request);
        const tenantId = token === "api-key" ? TENANT : null;
        return { rpc: rpc(token), rows: () => assert.fail("reads no table"), ...noWrites, tenantId };
      },
      nobody: rpc(null),
      model: (request) => {
        steps.push("model");
        asked.push(request);
        clock += 1_500;
        return model(request);
      },
      settings: { model: "small", models: ["small", "large"], estimatedTokens: 150, stallMs },
      now: () => new Date(clock),
      newId: () => `id-${++id}`,
    }),
  );
  const response = await handle(
    new Request("http://local.test/chat", {
      method: "POST",
      headers: { authorization: "Bearer user-token" },
      body: JSON.stringify({ tenant_id: TENANT, message: "Hello", ...body }),
      ...init,
    }),
  );
  return { response, calls, asked, steps };
}

export type Answered = Awaited<ReturnType<typeof chat>>;

const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { code: string } }).error.code;

export async function assertError({ response }: Answered, status: number, code: string): Promise<void> {
  assert.deepEqual([response.status, await errorOf(response)], [status, code]);
}

/** What was charged, in one call: the amounts of both reservations, and the event recorded with the tokens. */
export function settlement({ calls }: Answered) {
  const settled = calls.filter((call) => call.question === CLOSE);
  assert.equal(settled.length, 1);
  const settlements = (settled[0]?.args.settlements ?? []) as Settlement[];
  const of = (id: string) => settlements.find(({ reservation_id }) => reservation_id === id);
  return {
    message: of("chat_messages reservation")?.actual_amount,
    tokens: of("tokens reservation")?.actual_amount,
    event: of("tokens reservation")?.event as Record<string, unknown>,
    bearer: settled[0]?.token,
  };
}

/** The events of a streamed answer. */
export async function streamed(response: Response) {
  const blocks = (await response.text()).trim().split("\n\n");
  return blocks.map((block) => {
    const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? assert.fail(block);
    return { event, data: JSON.parse(data ?? "") };
  });
}

/** Waits for what a cancelled stream leads to: nothing tells when it is done. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 1_000, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
