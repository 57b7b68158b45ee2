import type { Alert } from "./alert_rows.ts";
import type { Alerts } from "./alerts.ts";
import type {
  AnomalyQuery,
  BillingHealth,
  DashboardMetrics,
  Health,
  HealthScore,
  UsageAnomaly,
} from "./health.ts";
import type { Time } from "./time.ts";
import { limited, pause } from "./timers.ts";
import { TtlCache } from "./ttl_cache.ts";
import type { UsageReport } from "./usage_report.ts";

export interface MonitorOptions {
  /** From the end of one look to the next, in milliseconds, 1 to 2^31-1; 30,000 by default. */
  healthIntervalMs?: number;
  /** How long one look may take, in milliseconds; 10,000 by default. */
  timeoutMs?: number;
  /** Whether the process stays up to go on looking; it does not by default. */
  keepAlive?: boolean;
  /** Told of the health that each look finds. */
  onHealth?: (health: BillingHealth) => void;
  /** Told of what a look or a handler failed with; looking goes on. Prints it by default. */
  onError?: (error: unknown) => void;
  /** What time it is for what is remembered, in milliseconds. */
  now?: () => number;
}

export interface Fresh {
  /** Asks the database, whatever is remembered. */
  fresh?: boolean;
}

/** Alerts of a tenant that are not resolved. */
export interface AlertCounts {
  open: number;
  acknowledged: number;
  low: number;
  medium: number;
  high: number;
  critical: number;
}

export type AlertHandler = (alert: Alert) => unknown;

/** What of `mb` the monitor asks. */
export interface Monitored {
  health: Pick<Health, "billingHealth" | "dashboardMetrics" | "healthScore" | "anomalies" | "usageReport">;
  alerts: Pick<Alerts, "iterate" | "resolve">;
}

interface Subscription {
  handler: AlertHandler;
  /** The ids of the alerts that it was handed and that were not resolved at the last look. */
  handed: Set<string>;
}

const HEALTH_TTL_MS = 30_000;
const METRICS_TTL_MS = 5 * 60_000;
const COUNTS_TTL_MS = 60_000;
const MAX_DELAY_MS = 2 ** 31 - 1;
const ACTIVE: Alert["status"][] = ["open", "acknowledged"];

/**
 * Watches billing from a process: its health, and the alerts of all tenants that the client may read, so with the secret key
 * all. Nothing depends on it, as the database evaluates and delivers by itself; it is for what wants both at hand.
 * @example
 * const monitor = new BillingMonitor(mb, { keepAlive: true });
 * monitor.onAlert((alert) => alertManager.handleAlert(alert));
 * monitor.startMonitoring();
 */
export class BillingMonitor {
  readonly #health: Monitored["health"];
  readonly #alerts: Monitored["alerts"];
  readonly #options: Required<Omit<MonitorOptions, "onHealth" | "now">> & Pick<MonitorOptions, "onHealth">;
  readonly #subscriptions = new Set<Subscription>();
  readonly #healthCache: TtlCache<BillingHealth>;
  readonly #metricsCache: TtlCache<DashboardMetrics>;
  readonly #countsCache: TtlCache<AlertCounts>;
  #stop: AbortController | undefined;
  /** Ends when the looks of the last run have; a run begins after the one before it. */
  #run: Promise<void> = Promise.resolve();

  /** @throws {RangeError} an interval that a timer cannot keep. */
  constructor({ health, alerts }: Monitored, { now = Date.now, ...options }: MonitorOptions = {}) {
    this.#health = health;
    this.#alerts = alerts;
    this.#options = {
      healthIntervalMs: 30_000,
      timeoutMs: 10_000,
      keepAlive: false,
      onError: (error) => console.error("meterbase: monitoring:", error),
      ...options,
    };
    for (const delay of [this.#options.healthIntervalMs, this.#options.timeoutMs]) {
      // A timer takes what it cannot keep for 1 ms.
      if (!(delay >= 1 && delay <= MAX_DELAY_MS)) throw new RangeError(`no time in milliseconds: ${delay}`);
    }
    this.#healthCache = new TtlCache(HEALTH_TTL_MS, now);
    this.#metricsCache = new TtlCache(METRICS_TTL_MS, now);
    this.#countsCache = new TtlCache(COUNTS_TTL_MS, now);
  }

  /** Looks now and then after each interval, one look after the other; nothing while it does already. */
  startMonitoring(): void {
    if (this.#stop) return;
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#run = this.#run.then(() => this.#look(signal));
  }

  /** Stops looking, and resolves when no look is under way any more. Handlers that were called go on. */
  async stopMonitoring(): Promise<void> {
    this.#stop?.abort();
    this.#stop = undefined;
    await this.#run;
  }

  /**
   * Hands each alert that is not resolved to a handler, once, oldest first: those that there are at the next look, then those
   * that come. One that is resolved before a look sees it is not handed. A handler that fails is told to `onError` and does not
   * get that alert again. Returns what takes the handler away.
   */
  onAlert(handler: AlertHandler): () => void {
    const subscription = { handler, handed: new Set<string>() };
    this.#subscriptions.add(subscription);
    return () => void this.#subscriptions.delete(subscription);
  }

  /** How billing is; remembered for 30 s. */
  getBillingHealth(fresh?: Fresh): Promise<BillingHealth> {
    return this.#healthCache.get("", () => this.#health.billingHealth(), fresh);
  }

  /** A tenant's dashboard; remembered for 5 minutes. */
  getUsageMetrics(tenantId: string, fresh?: Fresh): Promise<DashboardMetrics> {
    return this.#metricsCache.get(tenantId, () => this.#health.dashboardMetrics(tenantId), fresh);
  }

  /** A tenant's alerts that are not resolved, newest first; null: the operator's own. */
  async getActiveAlerts(tenantId: string | null): Promise<Alert[]> {
    const active: Alert[] = [];
    for await (const alert of this.#alerts.iterate(tenantId, { status: ACTIVE })) active.push(alert);
    return active;
  }

  /** How many of them there are; remembered for a minute, or until this monitor resolves one. */
  getAlertCounts(tenantId: string | null, fresh?: Fresh): Promise<AlertCounts> {
    return this.#countsCache.get(
      tenantId ?? "",
      async () => countOf(await this.getActiveAlerts(tenantId)),
      fresh,
    );
  }

  getHealthScore(tenantId: string): Promise<HealthScore> {
    return this.#health.healthScore(tenantId);
  }

  detectAnomalies(query?: AnomalyQuery): Promise<UsageAnomaly[]> {
    return this.#health.anomalies(query);
  }

  generateUsageReport(tenantId: string, from: Time, to: Time): Promise<UsageReport> {
    return this.#health.usageReport(tenantId, from, to);
  }

  /** Ends an alert, and says how; false when it had ended. Throws as `mb.alerts.resolve`. */
  async resolveAlert(id: string, note?: string): Promise<boolean> {
    const isResolved = await this.#alerts.resolve(id, note);
    this.#countsCache.clear();
    return isResolved;
  }

  async #look(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const limit = limited(stop, this.#options.timeoutMs);
      const looks = [this.#lookAtHealth(stop, limit.signal), this.#lookAtAlerts(stop, limit.signal)];
      for (const look of await Promise.allSettled(looks)) {
        // What was given up because the watch was stopped is nobody's concern.
        if (look.status === "rejected" && !stop.aborted) this.#tell(look.reason);
      }
      limit.end();
      await pause(this.#options.healthIntervalMs, this.#options.keepAlive, stop);
    }
  }

  async #lookAtHealth(stop: AbortSignal, signal: AbortSignal): Promise<void> {
    const health = await this.#health.billingHealth({ signal });
    this.#healthCache.set("", health);
    if (!stop.aborted) this.#options.onHealth?.(health);
  }

  async #lookAtAlerts(stop: AbortSignal, signal: AbortSignal): Promise<void> {
    if (this.#subscriptions.size === 0) return;
    const active: Alert[] = [];
    for await (const alert of this.#alerts.iterate(undefined, { status: ACTIVE, signal })) active.push(alert);
    const ids = new Set(active.map(({ id }) => id));
    for (const subscription of this.#subscriptions) {
      // What is resolved does not come back: another one opens, with an id of its own.
      for (const id of subscription.handed) if (!ids.has(id)) subscription.handed.delete(id);
      for (const alert of active.toReversed()) {
        // Handlers may take handlers away, or stop the watch.
        if (stop.aborted || !this.#subscriptions.has(subscription)) break;
        this.#hand(alert, subscription);
      }
    }
  }

  #hand(alert: Alert, { handler, handed }: Subscription): void {
    if (handed.has(alert.id)) return;
    handed.add(alert.id);
    const handling = (async () => handler(alert))();
    handling.catch((error) => this.#tell(error));
  }

  #tell(error: unknown): void {
    try {
      this.#options.onError(error);
    } catch (other) {
      console.error("meterbase: onError failed:", other);
    }
  }
}

function countOf(alerts: Alert[]): AlertCounts {
  const counts = { open: 0, acknowledged: 0, low: 0, medium: 0, high: 0, critical: 0 };
  for (const { status, severity } of alerts) {
    if (status !== "resolved") counts[status] += 1;
    counts[severity] += 1;
  }
  return counts;
}
