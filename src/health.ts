import { z } from "zod";
import { SubscriptionState } from "./billing.ts";
import { type Client, call, callOne, callRows } from "./client.ts";
import { QuotaStatus } from "./quota.ts";
import { iso, type Time } from "./time.ts";
import { UsageReport, UsageTotals } from "./usage_report.ts";

const component = { weight: z.int(), score: z.int() };

/** From the best to the worst. */
export const HealthStatus = z.enum(["healthy", "degraded", "unhealthy"]);
export type HealthStatus = z.infer<typeof HealthStatus>;

/**
 * How billing is: `status` is that of its worst component. `uptime` are shares of 1, null without a sample, as is the
 * `success_rate` of the webhooks of the last hour, null without one. `stripe` is as the last calls of its API went. `failed` and
 * `late` are schedules by name. In the outbox, `dead` is what is not tried again, and `oldest_due_seconds` for how long the oldest
 * message has been due; null: none is. `alerts` are those of all tenants that are not resolved.
 */
export const BillingHealth = z.object({
  status: HealthStatus,
  checked_at: z.string(),
  uptime: z.object({ last_24_hours: z.number().nullable(), last_30_days: z.number().nullable() }),
  components: z.object({
    database: z.object({ status: HealthStatus, connections: z.int(), max_connections: z.int() }),
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

/**
 * How healthy a tenant's billing is: 0 to 100, and its grade. Of each component its `weight` in percent, its own score of 0 to
 * 100, and what that comes from; null: there is nothing to go by, which counts as well.
 */
export const HealthScore = z.object({
  score: z.int(),
  grade: z.enum(["A", "B", "C", "D", "F"]),
  components: z.object({
    payments: z.object({ ...component, unpaid_invoices: z.int(), failed_payments: z.int() }),
    quota: z.object({ ...component, highest_percentage: z.number().nullable() }),
    errors: z.object({ ...component, error_rate: z.number().nullable() }),
    alerts: z.object({ ...component, critical: z.int(), high: z.int(), other: z.int() }),
  }),
});
export type HealthScore = z.infer<typeof HealthScore>;

/**
 * What a tenant's dashboard shows, as of its time. `alerts` are those that are not resolved, for who has `alerts:read`;
 * `subscription`, `unpaid_invoices` and `health` are for who has `billing:read`.
 */
export const DashboardMetrics = z.object({
  tenant_id: z.string(),
  as_of: z.string(),
  plan_id: z.string(),
  today: UsageTotals,
  month: UsageTotals,
  previous_month: UsageTotals,
  quotas: z.array(QuotaStatus),
  credits: z.int(),
  alerts: z
    .object({ open: z.int(), critical: z.int(), high: z.int(), medium: z.int(), low: z.int() })
    .optional(),
  subscription: SubscriptionState.optional(),
  unpaid_invoices: z.int().optional(),
  health: HealthScore.optional(),
});
export type DashboardMetrics = z.infer<typeof DashboardMetrics>;

/**
 * An hour in which a tenant used `ratio` times what is usual for it then, of a metric or in US dollars (`cost_usd`); little counts
 * as a little more, so that it is no news.
 */
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
  /** How far to look back, 1 to 744; 24 by default. */
  hours?: number;
  /** How many times as much as usual, above 1; 2 by default. */
  threshold?: number;
}

/** How billing does, as a whole and for a tenant. */
export class Health {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /**
   * How billing is, from its database to its outbox. Platform admins only.
   * @throws {PermissionError} `platform_admin_only`.
   */
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
   * How healthy a tenant's billing is. Needs `billing:read`.
   * @throws {PermissionError} `permission_denied`.
   */
  healthScore(tenantId: string): Promise<HealthScore> {
    const args = { tenant_id: tenantId };
    return callOne(this.#client, "calculate_billing_health_score", args, HealthScore, { get: true });
  }

  /**
   * Where usage was unusual in the last hours, over all tenants, the greatest ratio first. Platform admins only.
   * @throws {InvalidRequestError} `invalid_hours`, `invalid_threshold`.
   * @throws {PermissionError} `platform_admin_only`.
   */
  anomalies({ hours, threshold }: AnomalyQuery = {}): Promise<UsageAnomaly[]> {
    const args = { hours, threshold };
    return callRows(this.#client, "detect_usage_anomalies", args, UsageAnomaly, { get: true });
  }

  /**
   * What a tenant used on the UTC days from one time to another, what it cost, and what to do about it. Needs `usage:read`.
   * @throws {InvalidRequestError} `invalid_range`: its end is before its beginning, or it has more than 400 days.
   * @throws {PermissionError} `permission_denied`.
   */
  usageReport(tenantId: string, from: Time, to: Time): Promise<UsageReport> {
    const args = { tenant_id: tenantId, from_ts: iso(from), to_ts: iso(to) };
    return call(this.#client, "generate_usage_report", args, UsageReport, { get: true });
  }
}
