import { z } from "zod";
import { AlertSeverity } from "./alert_rows.ts";
import { QuotaPeriod } from "./quota.ts";

/** Usage added up; `error_rate` is the share, of 1, of the calls that failed. */
export const UsageTotals = z.object({
  api_calls: z.int(),
  tokens: z.int(),
  cost_usd: z.number(),
  errors: z.int(),
  error_rate: z.number(),
});
export type UsageTotals = z.infer<typeof UsageTotals>;

/**
 * What a tenant used on the UTC days from `from` to `to`: on each (those without usage are left out), and on all of them.
 * `cost`: `previous_usd` is that of as many days before, and `trend_percent` the change since, null where that was nothing;
 * `projected_month_usd` is 30 days at the average, which is null without a day. `metrics` is what was counted of each as of the
 * last roll-up. A recommendation has a stable `code` (`upgrade_plan`, `review_cost_increase`, `investigate_errors`) and a sentence.
 * `compliance`: how often a limit was run into, what is beyond a soft limit now, and since when there is usage.
 */
export const UsageReport = z.object({
  tenant_id: z.string(),
  from: z.string(),
  to: z.string(),
  days: z.array(UsageTotals.extend({ day: z.string(), error_rate: z.number().nullable() })),
  totals: UsageTotals,
  metrics: z.array(z.object({ metric: z.string(), quantity: z.number() })),
  cost: z.object({
    total_usd: z.number(),
    daily_average_usd: z.number().nullable(),
    previous_usd: z.number(),
    trend_percent: z.number().nullable(),
    projected_month_usd: z.number().nullable(),
  }),
  recommendations: z.array(z.object({ code: z.string(), severity: AlertSeverity, message: z.string() })),
  compliance: z.object({
    quota_denials: z.int(),
    overages: z.array(
      z.object({ metric: z.string(), period: QuotaPeriod, limit_value: z.number(), used: z.number() }),
    ),
    failed_payments: z.int(),
    error_rate: z.number(),
    data_complete_since: z.string().nullable(),
  }),
});
export type UsageReport = z.infer<typeof UsageReport>;
