import { createClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import type { Database } from "./database.types.ts";
import { Health } from "./health.ts";

/** Health over a project that answers as told, and what was asked of it: method and path. */
function healthOver(answer: unknown) {
  const sent: string[] = [];
  const project = async (input: RequestInfo | URL, options: RequestInit = {}) => {
    options.signal?.throwIfAborted();
    const { pathname, searchParams } = new URL(String(input));
    sent.push([options.method, pathname.replace("/rest/v1/rpc/", ""), ...[...searchParams].flat()].join(" "));
    return Response.json(answer);
  };
  const client = createClient<Database>("http://project.test", "key", {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: project },
    realtime: { transport: class {} as unknown as typeof WebSocket },
  });
  return { health: new Health(client), sent };
}

const time = "2027-01-01T00:00:00+00:00";
const billingHealth = {
  status: "degraded",
  checked_at: time,
  uptime: { last_24_hours: 0.99931, last_30_days: null },
  components: {
    database: { status: "healthy", connections: 9, max_connections: 97 },
    stripe: {
      status: "healthy",
      last_ok_at: time,
      last_error_at: null,
      last_error: null,
      errors_last_hour: 0,
    },
    webhooks: {
      status: "degraded",
      last_received_at: null,
      success_rate: null,
      received: 0,
      failed: 0,
      unapplied: 1,
    },
    schedules: { status: "healthy", jobs: 14, failed: [], late: ["meterbase_retention"] },
    outbox: { status: "healthy", pending: 2, dead: 0, oldest_due_seconds: null },
    alerts: { status: "healthy", open: 1, critical: 0 },
  },
};
const totals = { api_calls: 10, tokens: 150, cost_usd: 0.5, errors: 1, error_rate: 0.1 };
const score = {
  score: 91,
  grade: "A",
  components: {
    payments: { weight: 40, score: 100, unpaid_invoices: 0, failed_payments: 0 },
    quota: { weight: 25, score: 60, highest_percentage: 85 },
    errors: { weight: 20, score: 100, error_rate: null },
    alerts: { weight: 15, score: 90, critical: 0, high: 0, other: 1 },
  },
};
const dashboard = {
  tenant_id: "t",
  as_of: time,
  plan_id: "trial",
  today: totals,
  month: totals,
  previous_month: totals,
  quotas: [],
  credits: 0,
};
const report = {
  tenant_id: "t",
  from: time,
  to: time,
  days: [{ day: "2027-01-01", ...totals, error_rate: null }],
  totals,
  metrics: [{ metric: "tokens", quantity: 150 }],
  cost: {
    total_usd: 0.5,
    daily_average_usd: null,
    previous_usd: 0,
    trend_percent: null,
    projected_month_usd: 15,
  },
  recommendations: [{ code: "upgrade_plan", severity: "medium", message: "…" }],
  compliance: {
    quota_denials: 0,
    overages: [{ metric: "tokens", period: "day", limit_value: 100, used: 150 }],
    failed_payments: 0,
    error_rate: 0.1,
    data_complete_since: null,
  },
};
const anomaly = { tenant_id: "t", metric: "cost_usd", hour: time, observed: 9.5, expected: 0.02, ratio: 95 };

test("health is asked for by a GET, and given up when asked to", async () => {
  const project = healthOver(billingHealth);
  expect(await project.health.billingHealth()).toEqual(billingHealth);
  expect(project.sent).toEqual(["GET get_billing_health"]);
  const signal = AbortSignal.abort();
  await expect(project.health.billingHealth({ signal })).rejects.toMatchObject({ name: "UnavailableError" });
});

test("a dashboard holds what its reader may see", async () => {
  const project = healthOver(dashboard);
  expect(await project.health.dashboardMetrics("t")).toEqual(dashboard);
  expect(project.sent).toEqual(["GET get_billing_dashboard_metrics tenant_id t"]);
  const alerts = { open: 1, critical: 0, high: 0, medium: 1, low: 0 };
  const more = { ...dashboard, alerts, unpaid_invoices: 1, health: score };
  expect(await healthOver(more).health.dashboardMetrics("t")).toEqual(more);
});

test("a score is one row", async () => {
  const project = healthOver([score]);
  expect(await project.health.healthScore("t")).toEqual(score);
  expect(project.sent).toEqual(["GET calculate_billing_health_score tenant_id t"]);
});

test("anomalies are looked for as far back and as much as is asked", async () => {
  const project = healthOver([anomaly]);
  expect(await project.health.anomalies()).toEqual([anomaly]);
  await project.health.anomalies({ hours: 48, threshold: 2.5 });
  expect(project.sent).toEqual([
    "GET detect_usage_anomalies",
    "GET detect_usage_anomalies hours 48 threshold 2.5",
  ]);
});

test("a report is of a range", async () => {
  const project = healthOver(report);
  expect(await project.health.usageReport("t", "2027-01-01", new Date(0))).toEqual(report);
  expect(project.sent).toEqual([
    "GET generate_usage_report tenant_id t from_ts 2027-01-01 to_ts 1970-01-01T00:00:00.000Z",
  ]);
});

test("an answer of another shape is a typed error", async () => {
  const refusal = { code: "unexpected_answer" };
  const odd = { ...billingHealth, status: "odd" };
  await expect(healthOver(odd).health.billingHealth()).rejects.toMatchObject(refusal);
  await expect(healthOver([]).health.healthScore("t")).rejects.toMatchObject(refusal);
  await expect(healthOver({ ...report, totals: {} }).health.usageReport("t", "", "")).rejects.toMatchObject(
    refusal,
  );
});
