import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Pending } from "./delivery_buffer.ts";
import { InvalidRequestError, NotFoundError, PermissionError, UnavailableError } from "./errors.ts";
import { fileJournal } from "./node.ts";
import type { UsageEvent } from "./usage.ts";
import { UsageBuffer, type UsageBufferOptions } from "./usage_buffer.ts";

/** A database that keeps events by id, and fails while it is told to. */
function database() {
  const recorded = new Map<string, UsageEvent>();
  const calls: { tenantId: string; ids: string[] }[] = [];
  const faults: { fault: ((tenantId: string, events: UsageEvent[]) => Error | undefined) | undefined } = {
    fault: undefined,
  };
  const send = async (tenantId: string, events: UsageEvent[]) => {
    calls.push({ tenantId, ids: events.map(({ event_id }) => event_id) });
    const error = faults.fault?.(tenantId, events);
    if (error) throw error;
    const rejected = events.flatMap((event, index) =>
      event.event_type === "unknown" ? [{ index, reason: "unknown_event_type" }] : [],
    );
    for (const event of events) recorded.set(event.event_id, event);
    return rejected;
  };
  return { recorded, calls, send, faults };
}

const dropped: { ids: (string | undefined)[]; reason: string }[] = [];
const onDropped = (events: Pending<UsageEvent>[], reason: string) => {
  dropped.push({ ids: events.map(({ item }) => item.event_id), reason });
};
const event = (id: string, type = "api_call") => ({ event_id: id, event_type: type });
const away = () => new UnavailableError("unavailable", 0, "no connection");

let db: ReturnType<typeof database>;
const buffer = (options: UsageBufferOptions = {}) => new UsageBuffer(db.send, { onDropped, ...options });

beforeEach(() => {
  vi.useFakeTimers({ now: new Date("2026-01-01T00:00:00Z") });
  db = database();
  dropped.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

test("sends when enough events wait, without delay", async () => {
  const usage = buffer({ maxBatch: 3 });
  for (const id of ["a", "b", "c"]) usage.add("t", event(id));
  await vi.advanceTimersByTimeAsync(0);
  expect(db.calls).toEqual([{ tenantId: "t", ids: ["a", "b", "c"] }]);
  expect(usage.size).toBe(0);
});

test("sends what waits once the first has waited long enough, a call for each tenant", async () => {
  const usage = buffer({ maxDelayMs: 200 });
  usage.add("t", event("a"));
  await vi.advanceTimersByTimeAsync(150);
  usage.add("u", event("b"));
  usage.add("t", event("c"));
  expect(db.calls).toEqual([]);
  await vi.advanceTimersByTimeAsync(50);
  expect(db.calls).toEqual([
    { tenantId: "t", ids: ["a", "c"] },
    { tenantId: "u", ids: ["b"] },
  ]);
});

test("names and dates an event that has neither", async () => {
  const usage = buffer();
  usage.add("t", { event_type: "search" });
  await usage.flush();
  expect([...db.recorded.values()]).toEqual([
    {
      event_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      event_type: "search",
      event_timestamp: "2026-01-01T00:00:00.000Z",
    },
  ]);
});

test("keeps events through an outage and replays them under their ids and times", async () => {
  db.faults.fault = away;
  const usage = buffer({ maxDelayMs: 100 });
  usage.add("t", event("a"));
  usage.add("u", event("b"));
  await vi.advanceTimersByTimeAsync(100);
  expect(db.calls).toHaveLength(2);
  usage.add("t", event("c"));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(usage.size).toBe(3);
  const tries = db.calls.length;
  expect(tries).toBeGreaterThan(5);
  expect(tries).toBeLessThan(24); // further and further apart

  db.faults.fault = undefined;
  await vi.advanceTimersByTimeAsync(30_000);
  expect(usage.size).toBe(0);
  expect([...db.recorded.values()].map((one) => [one.event_id, one.event_timestamp]).sort()).toEqual([
    ["a", "2026-01-01T00:00:00.000Z"],
    ["b", "2026-01-01T00:00:00.000Z"],
    ["c", "2026-01-01T00:00:00.100Z"],
  ]);
  expect(dropped).toEqual([]);
  usage.add("t", event("d"));
  await vi.advanceTimersByTimeAsync(100);
  expect(db.recorded.has("d")).toBe(true);
});

test("a tenant that may not record now does not hold up the others", async () => {
  db.faults.fault = (tenantId) =>
    tenantId === "t" ? new PermissionError("permission_denied", 403, "no") : undefined;
  const usage = buffer();
  usage.add("t", event("a"));
  usage.add("u", event("b"));
  await usage.flush();
  expect([...db.recorded.keys()]).toEqual(["b"]);
  db.faults.fault = undefined;
  await usage.flush();
  expect([...db.recorded.keys()]).toEqual(["b", "a"]);
});

test("reports what the database refuses, one event or all of a tenant that is gone", async () => {
  const usage = buffer();
  usage.add("t", event("good"));
  usage.add("t", event("bad", "unknown"));
  await usage.flush();
  db.faults.fault = () => new NotFoundError("tenant_not_found", 404, "gone");
  usage.add("t", event("late"));
  await usage.flush();
  expect(dropped).toEqual([
    { ids: ["bad"], reason: "unknown_event_type" },
    { ids: ["late"], reason: "tenant_not_found" },
  ]);
  expect(usage.size).toBe(0);
});

test("an event that spoils its call is found, and the others get in", async () => {
  db.faults.fault = (_, events) =>
    events.some(({ event_id }) => event_id === "e5")
      ? new InvalidRequestError("22P05", 400, "\\u0000")
      : undefined;
  const usage = buffer();
  for (let i = 0; i < 9; i++) usage.add("t", event(`e${i}`));
  await usage.flush();
  expect([...db.recorded.keys()].sort()).toEqual(["e0", "e1", "e2", "e3", "e4", "e6", "e7", "e8"]);
  expect(dropped).toEqual([{ ids: ["e5"], reason: "22P05" }]);
});

test("keeps no more than its bound, at the cost of the tenant that has most", async () => {
  db.faults.fault = away;
  const usage = buffer({ maxPending: 3 });
  for (const id of ["a", "b", "c"]) usage.add("t", event(id));
  usage.add("u", event("d"));
  expect(dropped).toEqual([{ ids: ["c"], reason: "too_many_pending" }]);
  expect(usage.size).toBe(3);
  db.faults.fault = undefined;
  await usage.flush();
  expect([...db.recorded.keys()].sort()).toEqual(["a", "b", "d"]);
});

test("an event that JSON cannot hold is dropped at once, and text that Postgres cannot hold is replaced", async () => {
  const usage = buffer();
  const circular: { self?: unknown } = {};
  circular.self = circular;
  usage.add("t", { ...event("a"), metadata: circular as never });
  usage.add("t", { ...event("b"), metadata: { text: "nul \0, half a pair \ud83d, whole \u{1f600}" } });
  await usage.flush();
  expect(dropped).toEqual([{ ids: ["a"], reason: "not_json" }]);
  expect(db.recorded.get("b")?.metadata).toEqual({ text: "nul \ufffd, half a pair \ufffd, whole \u{1f600}" });
});

test("an onDropped that throws reaches nobody, and nothing is sent again for it", async () => {
  const printed = vi.spyOn(console, "error").mockImplementation(() => {});
  const usage = buffer({
    onDropped: () => {
      throw new Error("mine");
    },
  });
  usage.add("t", event("a", "unknown"));
  await usage.flush();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(db.calls).toHaveLength(1);
  expect(usage.size).toBe(0);
  expect(printed).toHaveBeenCalledOnce();
  printed.mockRestore();
});

test("a flush waits for events that are still being made", async () => {
  const usage = buffer();
  let make = (_: ReturnType<typeof event>) => {};
  void usage.addWhenReady("t", new Promise((resolve) => (make = resolve)));
  const flushed = usage.shutdown();
  make(event("a"));
  await flushed;
  expect(db.recorded.has("a")).toBe(true);
});

test("what a migration breaks for a moment is tried again", async () => {
  db.faults.fault = () => new InvalidRequestError("0A000", 400, "cached plan must not change result type");
  const usage = buffer();
  usage.add("t", event("a"));
  await usage.flush();
  expect(dropped).toEqual([]);
  db.faults.fault = undefined;
  await usage.flush();
  expect(db.recorded.has("a")).toBe(true);
});

test("an event that comes during a flush is sent as well, by the flush that was asked for after it", async () => {
  const usage = buffer();
  usage.add("t", event("a"));
  const first = usage.flush();
  usage.add("t", event("b"));
  await Promise.all([first, usage.flush()]);
  expect([...db.recorded.keys()]).toEqual(["a", "b"]);
});

test("shutdown sends what waits, and gives up on a database that hangs", async () => {
  const usage = buffer();
  usage.add("t", event("a"));
  await usage.shutdown();
  expect(db.recorded.has("a")).toBe(true);

  const hanging = new UsageBuffer(() => new Promise(() => {}));
  hanging.add("t", event("b"));
  const done = hanging.shutdown(300);
  await vi.advanceTimersByTimeAsync(300);
  await done;
  expect(hanging.size).toBe(1);
});

test("a file keeps events beyond the process, and is gone when they are recorded", async () => {
  vi.useRealTimers();
  const folder = await mkdtemp(join(tmpdir(), "meterbase-journal-"));
  const path = join(folder, "usage.json");
  try {
    db.faults.fault = away;
    const first = buffer({ journal: fileJournal(path) });
    first.add("t", event("a"));
    await first.flush();
    first.add("t", event("b"));
    await first.shutdown();
    expect(JSON.parse(await readFile(path, "utf8"))).toHaveLength(2);

    db.faults.fault = undefined;
    const second = buffer({ journal: fileJournal(path) });
    second.add("t", event("c"));
    await second.shutdown();
    expect([...db.recorded.keys()].sort()).toEqual(["a", "b", "c"]);
    expect(await readdir(folder)).toEqual([]);

    const printed = vi.spyOn(console, "error").mockImplementation(() => {});
    await writeFile(path, "{ not JSON");
    const third = buffer({ journal: fileJournal(path) });
    third.add("t", event("d"));
    await third.flush();
    expect(db.recorded.has("d")).toBe(true);
    db.faults.fault = away;
    third.add("t", event("e"));
    await third.shutdown();
    expect(await readFile(path, "utf8")).toBe("{ not JSON"); // whoever can read it may still need it
    expect(printed).toHaveBeenCalledOnce();
    printed.mockRestore();
  } finally {
    await rm(folder, { recursive: true });
  }
});
