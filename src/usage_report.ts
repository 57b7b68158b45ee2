import { z } from "zod";

const Counts = {
  events: z.int(),
  api_calls: z.int(),
  tokens: z.int(),
  cost_usd: z.number(),
  errors: z.int(),
  /** A share of 1; null without a call. */
  error_rate: z.number().nullable(),
};

/**
 * What a tenant used in [from, to): each UTC day, and all of it. `cost`: `previous_usd` is that of as long a time before, and
 * `trend_percent` the change since, null where that was nothing; `projected_month_usd` is what the month comes to at that pace.
 * `metrics` is what was taken of each. `recommendations` each have a stable `code` and a sentence. `compliance`: what was refused
 * for want of quota, what went past a soft limit, invoices that could not be paid, and since when there is data
 * (`data_complete_since`).
 */
export const UsageReport = z.object({
  tenant_id: z.string(),
  from: z.string(),
  to: z.string(),
  days: z.array(z.object({ day: z.string(), ...Counts })),
  totals: z.object(Counts),
  cost: z.object({
    total_usd: z.number(),
    daily_average_usd: z.number(),
    previous_usd: z.number(),
    trend_percent: z.number().nullable(),
    projected_month_usd: z.number(),
  }),
  metrics: z.array(z.object({ metric: z.string(), quantity: z.number() })),
  recommendations: z.array(z.object({ code: z.string(), severity: z.string(), message: z.string() })),
  compliance: z.object({
    quota_denials: z.int(),
    overages: z.array(
      z.object({ metric: z.string(), period: z.string(), limit_value: z.number(), used: z.number() }),
    ),
    failed_payments: z.int(),
    error_rate: z.number().nullable(),
    data_complete_since: z.string().nullable(),
  }),
});
export type UsageReport = z.infer<typeof UsageReport>;
