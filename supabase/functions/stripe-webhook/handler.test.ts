import assert from "node:assert/strict";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, withErrors } from "../_shared/http.ts";
import { logged } from "../_shared/testing.ts";
import { handleWebhook } from "./handler.ts";

const NOW = new Date("2026-03-01T12:00:00Z");
const SECONDS = NOW.getTime() / 1000;
const SECRET = "whsec_current";
const BODY = JSON.stringify(
  {
    id: "evt_1",
    object: "event",
    type: "customer.subscription.updated",
    created: SECONDS - 2,
    data: { object: { id: "sub_1", object: "subscription", unit_amount_decimal: "4900.00" } },
  },
  null,
  2,
);

const encoder = new TextEncoder();

/** A signature as Stripe's documentation describes it: HMAC-SHA-256 of the time, a dot and the body. */
async function signature(body: string, secret: string, at: number | string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(`${at}.${body}`)));
  return [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const signed = async (body = BODY, secret = SECRET, at = SECONDS) =>
  `t=${at},v1=${await signature(body, secret, at)}`;

const processed = (changes = {}) => ({
  event_id: "evt_1",
  type: "customer.subscription.updated",
  status: "processed",
  tenant_id: "tenant-1",
  plan_id: null,
  previous_plan_id: null,
  is_upgrade: false,
  error: null,
  ...changes,
});

interface Delivery {
  method?: string;
  /** Null: no header. */
  header?: string | null;
  body?: BodyInit;
  secrets?: string[];
  ingest?: () => unknown;
  count?: () => unknown;
}

async function deliver({
  method = "POST",
  header,
  body = BODY,
  secrets = [SECRET],
  ingest = () => [processed()],
  count = () => null,
}: Delivery = {}) {
  const calls: [string, Record<string, unknown>][] = [];
  const service: Rpc = async (name, args) => {
    calls.push([name, args]);
    return name === "count_webhook_rejection" ? count() : ingest();
  };
  const sent = header === undefined ? await signed() : header;
  const request = new Request("http://local.test/stripe-webhook", {
    method,
    headers: sent === null ? {} : { "stripe-signature": sent },
    ...(method === "POST" && { body }),
  });
  const handle = withErrors((request) => handleWebhook(request, { secrets, service, now: () => NOW }));
  const { result: response, lines } = await logged(() => handle(request));
  return { response, answer: await response.json(), calls, lines };
}

/** Refused with a 400: told to the log and counted, and nothing else is asked of the database. */
function assertRejected(
  { response, answer, calls, lines }: Awaited<ReturnType<typeof deliver>>,
  reason: string,
) {
  assert.deepEqual([response.status, answer.error?.code], [400, reason]);
  assert.deepEqual(calls, [["count_webhook_rejection", { reason }]]);
  assert.deepEqual(lines, [{ level: "error", msg: "Webhook signature verification failed", reason }]);
}

Deno.test("an event that Stripe signed is ingested as it was written, and its status told", async () => {
  const { response, answer, calls, lines } = await deliver();
  assert.deepEqual([response.status, answer], [200, { received: true, status: "processed" }]);
  assert.deepEqual(calls, [["ingest_stripe_event", { event: JSON.parse(BODY) }]]);
  assert.deepEqual(lines, []);
});

for (const status of ["duplicate", "stale", "ignored", "failed"]) {
  Deno.test(`${status} is a 200: to send it again would change nothing`, async () => {
    const { response, answer } = await deliver({ ingest: () => [processed({ status })] });
    assert.deepEqual([response.status, answer], [200, { received: true, status }]);
  });
}

Deno.test("a failed event is an error on the log, with what it failed of", async () => {
  const { lines } = await deliver({
    ingest: () => [processed({ status: "failed", tenant_id: null, error: "tenant_unknown" })],
  });
  assert.deepEqual(lines, [
    {
      level: "error",
      msg: "Failed to process subscription update",
      event_id: "evt_1",
      type: "customer.subscription.updated",
      error: "tenant_unknown",
    },
  ]);
});

Deno.test("an upgrade is on the log, with the time since Stripe knew of it", async () => {
  const { lines } = await deliver({
    ingest: () => [processed({ plan_id: "pro", previous_plan_id: "free", is_upgrade: true })],
  });
  assert.deepEqual(lines, [
    {
      level: "info",
      msg: "User upgraded to PRO",
      profileId: "tenant-1",
      event_id: "evt_1",
      latency_ms: 2000,
    },
  ]);
});

Deno.test("a downgrade is not", async () => {
  const { lines } = await deliver({
    ingest: () => [processed({ plan_id: "free", previous_plan_id: "pro" })],
  });
  assert.deepEqual(lines, []);
});

// Signatures -----------------------------------------------------------------------------------------------------

for (const secret of ["whsec_old", "whsec_new"]) {
  Deno.test(`while secrets are rotated, ${secret} signs too`, async () => {
    const secrets = ["whsec_old", "whsec_new"];
    const { response } = await deliver({ secrets, header: await signed(BODY, secret) });
    assert.equal(response.status, 200);
  });
}

Deno.test("of several signatures one has to be right", async () => {
  const wrong = await signature(BODY, "whsec_other", SECONDS);
  const header = `t=${SECONDS},v1=${wrong},v1=${await signature(BODY, SECRET, SECONDS)},v0=${wrong}`;
  assert.equal((await deliver({ header })).response.status, 200);
});

for (const [what, seconds] of [
  ["5 minutes old", -300],
  ["of a clock that is ahead of ours", 301],
] as const) {
  Deno.test(`a signature that is ${what} is good`, async () => {
    const header = await signed(BODY, SECRET, SECONDS + seconds);
    assert.equal((await deliver({ header })).response.status, 200);
  });
}

Deno.test("a signature that is older is not, whichever secret it is by", async () => {
  const header = await signed(BODY, SECRET, SECONDS - 301);
  assertRejected(await deliver({ header }), "timestamp_out_of_tolerance");
  const secrets = [SECRET, "whsec_new"];
  assertRejected(await deliver({ header, secrets }), "timestamp_out_of_tolerance");
});

for (const [what, body] of Object.entries({
  "another amount": BODY.replace("4900.00", "0000.00"),
  "other whitespace": JSON.stringify(JSON.parse(BODY)),
  "its keys in another order": JSON.stringify(
    Object.fromEntries(Object.entries(JSON.parse(BODY)).reverse()),
    null,
    2,
  ),
  "a line break at its end": `${BODY}\n`,
  "a byte order mark in front": `\ufeff${BODY}`,
  "nothing in it": "",
})) {
  Deno.test(`a body with ${what} is not what was signed`, async () => {
    assertRejected(await deliver({ header: await signed(), body }), "signature_invalid");
  });
}

Deno.test("bytes that are no text are not what was signed", async () => {
  const bytes = encoder.encode(BODY);
  bytes[5] = 0xff;
  assertRejected(await deliver({ body: bytes }), "signature_invalid");
});

for (const [what, header] of Object.entries({
  "another secret": await signed(BODY, "whsec_other"),
  "an old one by another secret": await signed(BODY, "whsec_other", SECONDS - 301),
  "another time": (await signed()).replace(`t=${SECONDS}`, `t=${SECONDS - 1}`),
  "an older scheme": (await signed()).replace("v1=", "v0="),
  "no time": (await signed()).replace(/^t=\d+,/, ""),
  "a time alone": `t=${SECONDS}`,
  "a time that is none": `t=now,v1=${await signature(BODY, SECRET, SECONDS)}`,
  "an empty signature": `t=${SECONDS},v1=`,
  "a shorter signature": (await signed()).slice(0, -1),
  "a longer signature": `${await signed()}0`,
  garbage: ";;;",
  commas: ",,,,",
  "a signature twice": `${await signed()}, ${(await signed()).replace(`t=${SECONDS}`, "t=1")}`.replace(
    /^t=\d+/,
    "t=2",
  ),
})) {
  Deno.test(`${what} in the header: 400`, async () => {
    assertRejected(await deliver({ header }), "signature_invalid");
  });
}

for (const [what, header] of [
  ["without a header", null],
  ["with an empty header", ""],
] as const) {
  Deno.test(`${what}: 400`, async () => assertRejected(await deliver({ header }), "signature_missing"));
}

// Bodies ---------------------------------------------------------------------------------------------------------

const event = JSON.parse(BODY);
for (const [what, body] of Object.entries({
  "no JSON": "{",
  null: "null",
  "a list": "[]",
  "a text": '"evt_1"',
  "an object": "{}",
  "an event without an id": JSON.stringify({ ...event, id: undefined }),
  "an event whose id is no text": JSON.stringify({ ...event, id: 1 }),
  "an event without a time": JSON.stringify({ ...event, created: undefined }),
  "an event about nothing": JSON.stringify({ ...event, data: {} }),
  "another object": JSON.stringify({ ...event, object: "subscription" }),
  "a thin event": JSON.stringify({ ...event, object: "v2.core.event" }),
})) {
  Deno.test(`${what}, though signed, is a 400`, async () => {
    assertRejected(await deliver({ body, header: await signed(body) }), "body_invalid");
  });
}

Deno.test("what the database takes for no event is a 400, too", async () => {
  const { response, answer, calls } = await deliver({
    ingest: () => Promise.reject(new ApiError(400, "invalid_event", "No event.")),
  });
  assert.deepEqual([response.status, answer.error.code], [400, "body_invalid"]);
  assert.deepEqual(
    calls.map(([name]) => name),
    ["ingest_stripe_event", "count_webhook_rejection"],
  );
});

Deno.test("1 MB is read, a byte more is a 413, of which nothing is asked", async () => {
  const padded = (bytes: number) => BODY + " ".repeat(bytes - BODY.length);
  const largest = padded(1_000_000);
  const { response } = await deliver({ body: largest, header: await signed(largest) });
  assert.equal(response.status, 200);
  const larger = padded(1_000_001);
  const refused = await deliver({ body: larger, header: await signed(larger) });
  assert.deepEqual([refused.response.status, refused.answer.error.code], [413, "body_too_large"]);
  assert.deepEqual(refused.calls, []);
});

Deno.test("a body that does not end is left unread", async () => {
  let chunks = 0;
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      chunks++;
      controller.enqueue(new Uint8Array(100_000));
    },
    cancel: () => {
      cancelled = true;
    },
  });
  const { response } = await deliver({ body });
  assert.deepEqual([response.status, cancelled], [413, true]);
  assert.ok(chunks < 15, String(chunks));
});

Deno.test("a character that two chunks share is one character", async () => {
  const text = BODY.replace("sub_1", "sub_ü");
  const bytes = encoder.encode(text);
  const half = bytes.indexOf(0xc3) + 1;
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(bytes.slice(0, half));
      controller.enqueue(bytes.slice(half));
      controller.close();
    },
  });
  const { response } = await deliver({ body, header: await signed(text) });
  assert.equal(response.status, 200);
});

// Failures -------------------------------------------------------------------------------------------------------

Deno.test("a database that cannot be reached is a 503, so that Stripe sends it again", async () => {
  const { response, answer } = await deliver({
    ingest: () => Promise.reject(new ApiError(503, "database_unavailable", "Try again.")),
  });
  assert.deepEqual([response.status, answer.error.code], [503, "database_unavailable"]);
});

for (const [what, error] of Object.entries({
  "that does not take our key": new ApiError(401, "unauthorized", "The access token is not valid."),
  "without the function": new ApiError(404, "PGRST202", "No such function."),
  "that fails otherwise": new Error("unforeseen"),
})) {
  Deno.test(`a database ${what} is a 500 that gives nothing away`, async () => {
    const { response, answer, lines } = await deliver({ ingest: () => Promise.reject(error) });
    assert.deepEqual([response.status, answer.error.code], [500, "internal_error"]);
    assert.equal(lines[0]?.level, "error");
  });
}

for (const answer of [[], [processed({ status: "unheard of" })], null]) {
  Deno.test(`${JSON.stringify(answer)?.slice(0, 40)} is no answer: 500`, async () => {
    assert.equal((await deliver({ ingest: () => answer })).response.status, 500);
  });
}

Deno.test("whether a rejection can be counted does not change the answer", async () => {
  const { response, answer, lines } = await deliver({
    header: "garbage",
    count: () => Promise.reject(new ApiError(503, "database_unavailable", "Try again.")),
  });
  assert.deepEqual([response.status, answer.error.code], [400, "signature_invalid"]);
  assert.deepEqual(
    lines.map(({ level }) => level),
    ["error", "warn"],
  );
});

Deno.test("another method is a 405", async () => {
  const { response, answer, calls } = await deliver({ method: "GET" });
  assert.deepEqual([response.status, answer.error.code, calls], [405, "method_not_allowed", []]);
});

Deno.test("without a secret there is nothing to check by: 503", async () => {
  const { response, answer, calls } = await deliver({ secrets: [] });
  assert.deepEqual([response.status, answer.error.code, calls], [503, "stripe_not_configured", []]);
});
