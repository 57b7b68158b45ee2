import { expect, test } from "vitest";
import { deliver } from "./alert_delivery.ts";

type Reply = Response | Error;
const reply = (status: number, headers: Record<string, string> = {}, body: string | null = null) =>
  new Response(body, { status, headers });
const NOW = Date.parse("2027-01-01T00:00:00Z");

/** An endpoint that replies as told, the last one from then on; what it got, and how long was slept between. */
function endpoint(...replies: Reply[]) {
  const got: { url: string; init: RequestInit }[] = [];
  const slept: number[] = [];
  const io = {
    fetch: async (url: RequestInfo | URL, init: RequestInit = {}) => {
      got.push({ url: String(url), init });
      const next = (replies.length > 1 ? replies.shift() : replies[0]) as Reply;
      if (next instanceof Error) throw next;
      return next;
    },
    sleep: async (ms: number) => void slept.push(ms),
    now: () => NOW,
    timeoutMs: 1_000,
  };
  return { io, got, slept };
}
const request = { url: "https://example.com/x", headers: { "webhook-id": "1" }, body: { a: "é" } };

test("JSON is posted once where it is taken, and follows no redirect", async () => {
  const { io, got, slept } = endpoint(reply(204));
  expect(await deliver(request, io)).toEqual({ attempts: 1 });
  expect(got).toEqual([
    {
      url: request.url,
      init: {
        method: "POST",
        headers: { "content-type": "application/json", "webhook-id": "1" },
        body: '{"a":"é"}',
        redirect: "manual",
        signal: expect.any(AbortSignal),
      },
    },
  ]);
  expect(slept).toEqual([]);
});

test("three tries are made, ever further apart", async () => {
  const { io, got, slept } = endpoint(new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") }));
  expect(await deliver(request, io)).toEqual({ attempts: 3, error: "fetch failed: ECONNREFUSED" });
  expect(got).toHaveLength(3);
  expect(slept).toEqual([1_000, 4_000]);
});

test("a later try may be taken", async () => {
  expect(await deliver(request, endpoint(reply(500), reply(429), reply(200)).io)).toEqual({ attempts: 3 });
});

test.each([500, 503, 408, 425, 429])("after %i it is tried again", async (status) => {
  const { io, got } = endpoint(reply(status));
  expect(await deliver(request, io)).toEqual({ attempts: 3, error: `HTTP ${status}` });
  expect(got).toHaveLength(3);
});

test.each([302, 307, 400, 401, 404, 410])("after %i it is not", async (status) => {
  const { io, got } = endpoint(reply(status, {}, "no_service\n"));
  expect(await deliver(request, io)).toEqual({ attempts: 1, error: `HTTP ${status}: no_service` });
  expect(got).toHaveLength(1);
});

test("of a long answer there is the beginning", async () => {
  const { error } = await deliver(request, endpoint(reply(400, {}, "x".repeat(1_000))).io);
  expect(error).toBe(`HTTP 400: ${"x".repeat(200)}`);
});

test.each([
  ["7", 7_000],
  ["0", 0],
  ["3600", 30_000],
  ["Fri, 01 Jan 2027 00:00:12 GMT", 12_000],
  ["Thu, 31 Dec 2026 00:00:00 GMT", 0],
  ["soon", 1_000],
])("Retry-After %s waits %i ms", async (header, ms) => {
  const { io, slept } = endpoint(reply(429, { "retry-after": header }), reply(200));
  await deliver(request, io);
  expect(slept).toEqual([ms]);
});

test("an endpoint that hangs is given up, and tried again", async () => {
  const { io, slept } = endpoint(reply(200));
  const hang = (_: RequestInfo | URL, init: RequestInit = {}) =>
    new Promise<Response>((_resolve, reject) => {
      init.signal?.addEventListener("abort", () => reject(init.signal?.reason));
    });
  const { attempts, error } = await deliver(request, { ...io, fetch: hang, timeoutMs: 5 });
  expect(attempts).toBe(3);
  expect(error).toContain("timeout");
  expect(slept).toHaveLength(2);
});
