import { z } from "zod";
import { type Client, call, callOne, callRows } from "./client.ts";
import { iso, type Time } from "./time.ts";
import { UsageReport } from "./usage_report.ts";

/** From the best to the worst. */
export const HealthStatus = z.enum(["healthy", "degraded", "unhealthy"]);
export type HealthStatus = z.infer<typeof HealthStatus>;

/**
 * How billing is. `status` is that of the worst component. `uptime` are shares of 1, null where nothing was measured, as is the
 * `success_rate` of webhooks. What is `late`, `failed` are names of schedules; `dead` notifications are not tried again, and
 * `oldest_due_seconds` is how long the oldest has been due.
 */
export const BillingHealth = z.object({
  status: HealthStatus,
  checked_at: z.string(),
  uptime: z.object({ last_24_hours: z.number().nullable(), last_30_days: z.number().nullable() }),
  components: z.object({
    database: z.looseObject({ status: HealthStatus }),
    stripe: z.object({
      status: HealthStatus,
      last_ok_at: z.string().nullable(),
      last_error_at: z.string().nullable(),
      last_error: z.string().nullable(),
      errors_last_hour: z.int(),
    }),
    webhooks: z.object({
      status: HealthStatus,
      last_received_at: z.string().nullable(),
      success_rate: z.number().nullable(),
      received: z.int(),
      failed: z.int(),
      unapplied: z.int(),
    }),
    schedules: z.object({
      status: HealthStatus,
      jobs: z.int(),
      failed: z.array(z.string()),
      late: z.array(z.string()),
    }),
    outbox: z.object({
      status: HealthStatus,
      pending: z.int(),
      dead: z.int(),
      oldest_due_seconds: z.number().nullable(),
    }),
    alerts: z.object({ status: HealthStatus, open: z.int(), critical: z.int() }),
  }),
});
export type BillingHealth = z.infer<typeof BillingHealth>;

export const DashboardMetrics = z.looseObject({ tenant_id: z.string() });
export type DashboardMetrics = z.infer<typeof DashboardMetrics>;

/** How well a tenant's billing is: 0 to 100, its `grade`, and what each component gave or took. */
export const HealthScore = z.object({
  score: z.int().min(0).max(100),
  grade: z.string(),
  components: z.record(z.string(), z.unknown()),
});
export type HealthScore = z.infer<typeof HealthScore>;

/** An hour in which a tenant used more of a metric, by `ratio`, than is usual at that hour. */
export const UsageAnomaly = z.object({
  tenant_id: z.string(),
  metric: z.string(),
  hour: z.string(),
  observed: z.number(),
  expected: z.number(),
  ratio: z.number(),
});
export type UsageAnomaly = z.infer<typeof UsageAnomaly>;

export interface AnomalyQuery {
  /** How far to look back; 24 by default. */
  hours?: number;
  /** How many times as much as usual; 2 by default. */
  threshold?: number;
}

/** How billing does, as a whole and for a tenant. */
export class Health {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** How billing is, from its database to its outbox. Platform admins only. */
  billingHealth({ signal }: { signal?: AbortSignal } = {}): Promise<BillingHealth> {
    const options = { get: true, ...(signal && { signal }) };
    return call(this.#client, "get_billing_health", {}, BillingHealth, options);
  }

  /**
   * What a tenant's dashboard shows. Needs `usage:read`.
   * @throws {PermissionError} `permission_denied`.
   */
  dashboardMetrics(tenantId: string): Promise<DashboardMetrics> {
    const args = { tenant_id: tenantId };
    return call(this.#client, "get_billing_dashboard_metrics", args, DashboardMetrics, { get: true });
  }

  /**
   * How well a tenant's billing is. Needs `usage:read`.
   * @throws {PermissionError} `permission_denied`.
   */
  healthScore(tenantId: string): Promise<HealthScore> {
    const args = { tenant_id: tenantId };
    return callOne(this.#client, "calculate_billing_health_score", args, HealthScore, { get: true });
  }

  /**
   * Where usage was unusual in the last hours, over all tenants. Platform admins only.
   * @throws {PermissionError} `platform_admin_only`.
   */
  anomalies({ hours, threshold }: AnomalyQuery = {}): Promise<UsageAnomaly[]> {
    const args = { hours, threshold };
    return callRows(this.#client, "detect_usage_anomalies", args, UsageAnomaly, { get: true });
  }

  /**
   * What a tenant used in [from, to), what it cost, and what to do about it. Needs `usage:read`.
   * @throws {InvalidRequestError} `invalid_range`.
   * @throws {PermissionError} `permission_denied`.
   */
  usageReport(tenantId: string, from: Time, to: Time): Promise<UsageReport> {
    const args = { tenant_id: tenantId, from_ts: iso(from), to_ts: iso(to) };
    return call(this.#client, "generate_usage_report", args, UsageReport, { get: true });
  }
}
