import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Alert } from "./alert_rows.ts";
import type { AlertFilter } from "./alerts.ts";
import { UnavailableError } from "./errors.ts";
import type { BillingHealth, DashboardMetrics } from "./health.ts";
import { BillingMonitor, type MonitorOptions } from "./monitor.ts";

const alertOf = (id: string, fields: Partial<Alert> = {}) =>
  ({ id, tenant_id: "t", status: "open", severity: "high", ...fields }) as Alert;

/** Billing that is as told, and what was asked of it. */
function billing() {
  const calls: unknown[][] = [];
  const state = {
    alerts: [] as Alert[],
    fault: undefined as Error | undefined,
    /** No look ends before this, unless it is given up. */
    gate: Promise.resolve() as Promise<unknown>,
    looking: 0,
    mostLooking: 0,
  };
  const answer = <Answer>(name: string, ...args: unknown[]): Promise<Answer> => {
    calls.push([name, ...args]);
    return state.fault ? Promise.reject(state.fault) : Promise.resolve({ name, n: calls.length } as Answer);
  };
  const gate = async (signal?: AbortSignal) => {
    const givenUp = new Promise((_, reject) =>
      signal?.addEventListener("abort", () => reject(signal.reason)),
    );
    await Promise.race([state.gate, givenUp]);
  };
  const health = {
    billingHealth: async ({ signal }: { signal?: AbortSignal } = {}) => {
      state.looking += 1;
      state.mostLooking = Math.max(state.mostLooking, state.looking);
      try {
        await gate(signal);
        return await answer<BillingHealth>("billingHealth");
      } finally {
        state.looking -= 1;
      }
    },
    dashboardMetrics: (id: string) => answer<DashboardMetrics>("dashboardMetrics", id),
    healthScore: (id: string) => answer<never>("healthScore", id),
    anomalies: (query?: object) => answer<never>("anomalies", query),
    usageReport: (...args: unknown[]) => answer<never>("usageReport", ...args),
  };
  const alerts = {
    async *iterate(tenantId?: string | null, { status, signal }: AlertFilter = {}) {
      await gate(signal);
      await answer("iterate", tenantId, status);
      const isAsked = (alert: Alert) => (status ?? []).includes(alert.status);
      yield* state.alerts.filter(isAsked).reverse();
    },
    resolve: async (id: string, note?: string) => {
      await answer("resolve", id, note);
      return true;
    },
  };
  const count = (name: string) => calls.filter(([called]) => called === name).length;
  return { mb: { health, alerts }, calls, count, state };
}

const ACTIVE = ["open", "acknowledged"];
const away = () => new UnavailableError("unavailable", 0, "no connection");
let db: ReturnType<typeof billing>;
let errors: unknown[];
let monitor: BillingMonitor;
const monitorOf = (options: MonitorOptions = {}) =>
  new BillingMonitor(db.mb, { onError: (error) => errors.push(error), ...options });
/** A handler, and the ids of what it got. */
function handed(on = monitor) {
  const ids: string[] = [];
  return { ids, off: on.onAlert(({ id }) => ids.push(id)) };
}

beforeEach(() => {
  vi.useFakeTimers({ now: new Date("2027-01-01T00:00:00Z") });
  db = billing();
  errors = [];
  monitor = monitorOf();
});
afterEach(async () => {
  await monitor.stopMonitoring();
  vi.useRealTimers();
});

test("looks at once and then every 30 seconds, until it is stopped", async () => {
  const seen: unknown[] = [];
  monitor = monitorOf({ onHealth: (health) => seen.push(health) });
  monitor.startMonitoring();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(seen).toEqual([expect.objectContaining({ name: "billingHealth" })]);
  await vi.advanceTimersByTimeAsync(29_999);
  expect(db.count("billingHealth")).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(db.count("billingHealth")).toBe(2);
  await monitor.stopMonitoring();
  expect(vi.getTimerCount()).toBe(0);
  await vi.advanceTimersByTimeAsync(90_000);
  expect(seen).toHaveLength(2);
});

test("looks as often as it is told to, and refuses what a timer cannot keep", async () => {
  monitor = monitorOf({ healthIntervalMs: 1_000 });
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(db.count("billingHealth")).toBe(3);
  for (const delay of [0, -1, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY]) {
    expect(() => monitorOf({ healthIntervalMs: delay })).toThrow(RangeError);
    expect(() => monitorOf({ timeoutMs: delay })).toThrow(RangeError);
  }
});

test("a look that takes long holds the next one up, also over a restart", async () => {
  let open = () => {};
  db.state.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  monitor = monitorOf({ timeoutMs: 1_000_000 });
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(90_000);
  expect(db.state.looking).toBe(1);
  void monitor.stopMonitoring();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(90_000);
  expect(db.state.looking).toBe(1);
  open();
  await vi.advanceTimersByTimeAsync(0);
  expect(db.state.mostLooking).toBe(1);
  expect(db.count("billingHealth")).toBeGreaterThan(0);
});

test("a look that hangs is given up after 10 seconds, and the next one made", async () => {
  db.state.gate = new Promise(() => {});
  handed();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(9_999);
  expect(db.state.looking).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(db.state.looking).toBe(0);
  const timeout = expect.objectContaining({ name: "TimeoutError" });
  expect(errors).toEqual([timeout, timeout]); // of health and of alerts
  await vi.advanceTimersByTimeAsync(30_000);
  expect(db.state.looking).toBe(1);
});

test("stopping gives up what is under way, and says nothing of it", async () => {
  db.state.gate = new Promise(() => {});
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(db.state.looking).toBe(1);
  await monitor.stopMonitoring();
  expect(db.state.looking).toBe(0);
  expect(errors).toEqual([]);
});

test("what a look finds after it was stopped is told to nobody", async () => {
  let open = () => {};
  db.state.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const seen: unknown[] = [];
  monitor = monitorOf({ onHealth: (health) => seen.push(health) });
  const { ids } = handed();
  db.state.alerts = [alertOf("a")];
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  open();
  await monitor.stopMonitoring();
  expect(db.count("billingHealth")).toBe(1);
  expect([...seen, ...ids]).toEqual([]);
});

test("a database that is away is told of, and looked for again", async () => {
  const { ids } = handed();
  db.state.fault = away();
  db.state.alerts = [alertOf("a")];
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(errors).toEqual([db.state.fault, db.state.fault]);
  db.state.fault = undefined;
  await vi.advanceTimersByTimeAsync(30_000);
  expect(errors).toHaveLength(2);
  expect(ids).toEqual(["a"]);
});

test("an onError or onHealth that fails ends nothing", async () => {
  const printed = vi.spyOn(console, "error").mockImplementation(() => {});
  const fail = () => {
    throw new Error("odd");
  };
  monitor = monitorOf({ onError: fail, onHealth: fail });
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(db.count("billingHealth")).toBe(2);
  expect(printed).toHaveBeenCalledTimes(2);
  printed.mockRestore();
});

test("each alert is handed to each handler once, the oldest first, also over restarts", async () => {
  db.state.alerts = [alertOf("a"), alertOf("b", { status: "acknowledged" })];
  const first = handed();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(first.ids).toEqual(["a", "b"]);
  const second = handed();
  db.state.alerts.push(alertOf("c"));
  await vi.advanceTimersByTimeAsync(30_000);
  await monitor.stopMonitoring();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(first.ids).toEqual(["a", "b", "c"]);
  expect(second.ids).toEqual(["a", "b", "c"]);
  expect(db.calls).toContainEqual(["iterate", undefined, ACTIVE]);
});

test("an alert that is resolved is not handed, and is forgotten", async () => {
  db.state.alerts = [alertOf("a"), alertOf("b", { status: "resolved" })];
  const { ids } = handed();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(ids).toEqual(["a"]);
  db.state.alerts = [];
  await vi.advanceTimersByTimeAsync(30_000);
  db.state.alerts = [alertOf("a")]; // no alert does that, but it shows what is remembered
  await vi.advanceTimersByTimeAsync(30_000);
  expect(ids).toEqual(["a", "a"]);
});

test("a look that fails forgets nothing", async () => {
  db.state.alerts = [alertOf("a")];
  const { ids } = handed();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  db.state.fault = away();
  await vi.advanceTimersByTimeAsync(30_000);
  db.state.fault = undefined;
  await vi.advanceTimersByTimeAsync(30_000);
  expect(ids).toEqual(["a"]);
});

test("without a handler alerts are not asked for, and one that was taken away gets none", async () => {
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(db.count("iterate")).toBe(0);
  const other = handed();
  const { ids, off } = handed();
  await vi.advanceTimersByTimeAsync(30_000);
  off();
  db.state.alerts = [alertOf("a")];
  await vi.advanceTimersByTimeAsync(30_000);
  expect(ids).toEqual([]);
  expect(other.ids).toEqual(["a"]);
});

test("the same function is as many handlers as it was given", async () => {
  const ids: string[] = [];
  const handler = ({ id }: Alert) => ids.push(id);
  monitor.onAlert(handler);
  const off = monitor.onAlert(handler);
  db.state.alerts = [alertOf("a")];
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  off();
  db.state.alerts.push(alertOf("b"));
  await vi.advanceTimersByTimeAsync(30_000);
  expect(ids).toEqual(["a", "a", "b"]);
});

test("a handler may stop the watch, or take itself away", async () => {
  db.state.alerts = [alertOf("a"), alertOf("b")];
  const ids: string[] = [];
  const off = monitor.onAlert(({ id }) => {
    ids.push(id);
    off();
  });
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(30_000);
  expect(ids).toEqual(["a"]);
  monitor.onAlert(async ({ id }) => {
    ids.push(id);
    await monitor.stopMonitoring();
  });
  await vi.advanceTimersByTimeAsync(90_000);
  expect(ids).toEqual(["a", "a"]);
});

test("a handler that fails does not keep the others from theirs, nor get it again", async () => {
  db.state.alerts = [alertOf("a")];
  monitor.onAlert(() => {
    throw new Error("at once");
  });
  monitor.onAlert(async () => {
    throw new Error("later");
  });
  const { ids } = handed();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(ids).toEqual(["a"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(ids).toEqual(["a"]);
  expect(errors).toEqual([new Error("at once"), new Error("later")]);
});

test("a handler that takes long holds no look up", async () => {
  db.state.alerts = [alertOf("a")];
  monitor.onAlert(() => new Promise(() => {}));
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(db.count("billingHealth")).toBe(3);
  await monitor.stopMonitoring();
});

test("health is remembered for 30 s; fresh asks anew", async () => {
  const first = await monitor.getBillingHealth();
  expect(await monitor.getBillingHealth()).toBe(first);
  const second = await monitor.getBillingHealth({ fresh: true });
  expect(second).not.toBe(first);
  vi.advanceTimersByTime(29_999);
  expect(await monitor.getBillingHealth()).toBe(second);
  vi.advanceTimersByTime(1);
  expect(await monitor.getBillingHealth()).not.toBe(second);
  expect(db.count("billingHealth")).toBe(3);
});

test("what a look finds is remembered as well", async () => {
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  await monitor.getBillingHealth();
  expect(db.count("billingHealth")).toBe(1);
});

test("a look that fails leaves what is remembered", async () => {
  const first = await monitor.getBillingHealth();
  db.state.fault = away();
  monitor.startMonitoring();
  await vi.advanceTimersByTimeAsync(0);
  expect(await monitor.getBillingHealth()).toBe(first);
});

test("usage metrics are remembered for 5 minutes, by tenant", async () => {
  const first = await monitor.getUsageMetrics("t");
  expect(await monitor.getUsageMetrics("u")).not.toBe(first);
  vi.advanceTimersByTime(5 * 60_000 - 1);
  expect(await monitor.getUsageMetrics("t")).toBe(first);
  expect(await monitor.getUsageMetrics("t", { fresh: true })).not.toBe(first);
  vi.advanceTimersByTime(5 * 60_000);
  await monitor.getUsageMetrics("t");
  expect(db.calls.map(([, id]) => id)).toEqual(["t", "u", "t", "t"]);
});

test("active alerts are counted, and the counts remembered for a minute or until one is resolved here", async () => {
  db.state.alerts = [alertOf("a"), alertOf("b", { status: "acknowledged", severity: "low" })];
  expect((await monitor.getActiveAlerts("t")).map(({ id }) => id)).toEqual(["b", "a"]);
  const counts = { open: 1, acknowledged: 1, low: 1, medium: 0, high: 1, critical: 0 };
  expect(await monitor.getAlertCounts("t")).toEqual(counts);
  db.state.alerts.pop();
  vi.advanceTimersByTime(59_999);
  expect(await monitor.getAlertCounts("t")).toEqual(counts);
  vi.advanceTimersByTime(1);
  expect(await monitor.getAlertCounts("t")).toEqual({ ...counts, acknowledged: 0, low: 0 });
  db.state.alerts = [];
  expect(await monitor.resolveAlert("a", "done")).toBe(true);
  expect(db.calls.at(-1)).toEqual(["resolve", "a", "done"]);
  expect(await monitor.getAlertCounts("t")).toMatchObject({ open: 0 });
  db.state.alerts = [alertOf("a")];
  expect(await monitor.getAlertCounts("t", { fresh: true })).toMatchObject({ open: 1 });
  await monitor.getAlertCounts(null);
  expect(db.calls.at(-1)).toEqual(["iterate", null, ACTIVE]);
});

test("the rest is asked for as it is", async () => {
  await monitor.getHealthScore("t");
  await monitor.detectAnomalies({ hours: 48, threshold: 3 });
  await monitor.detectAnomalies();
  await monitor.generateUsageReport("t", "2027-01-01", new Date(0));
  expect(db.calls).toEqual([
    ["healthScore", "t"],
    ["anomalies", { hours: 48, threshold: 3 }],
    ["anomalies", undefined],
    ["usageReport", "t", "2027-01-01", new Date(0)],
  ]);
});

test.each([
  [{}, 0],
  [{ keepAlive: false }, 0],
  [{ keepAlive: true }, 1],
])("with %j, %i timers keep the process up", async (options, up) => {
  vi.useRealTimers();
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  let open = () => {};
  db.state.gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const looked = new Promise<unknown>((resolve) => {
    monitor = monitorOf({ ...options, onHealth: resolve });
  });
  monitor.startMonitoring();
  await new Promise((resolve) => setImmediate(resolve));
  expect([db.state.looking, timers() - before]).toEqual([1, 0]);
  open();
  await looked;
  await new Promise((resolve) => setImmediate(resolve));
  expect(timers() - before).toBe(up);
});
