import { z } from "zod";
import { type Client, call, callOne, callRows } from "./client.ts";
import type { Json } from "./database.types.ts";
import { QuotaCoalescer, type TakeGroup } from "./quota_coalescer.ts";
import { type EnforcementOptions, Enforcer, type MultipleQuotaResult } from "./quota_enforcement.ts";
import type { UsageEvent } from "./usage.ts";

export const QuotaPeriod = z.enum(["minute", "hour", "day", "month", "none"]);
export type QuotaPeriod = z.infer<typeof QuotaPeriod>;

/**
 * The answer to a quota question, for the tightest window of the metric.
 * `limit_value` null: no limit, or unlimited. `used` includes live reservations. `resets_at` is when the window ends
 * (ISO 8601; null: never). `reason` of a denial: `quota_exceeded` or `not_included`; of a grant: null, or
 * `soft_limit_exceeded`. `decision_id` names a denial's receipt.
 */
export const QuotaDecision = z.object({
  allowed: z.boolean(),
  metric: z.string(),
  period: QuotaPeriod.nullable(),
  limit_value: z.number().nullable(),
  used: z.number().nullable(),
  remaining: z.number().nullable(),
  resets_at: z.string().nullable(),
  reason: z.string().nullable(),
  decision_id: z.string().nullable(),
});
export type QuotaDecision = z.infer<typeof QuotaDecision>;

/** A decision with the reservation that it made; null when it was denied. */
export const QuotaReservation = QuotaDecision.extend({ reservation_id: z.string().nullable() });
export type QuotaReservation = z.infer<typeof QuotaReservation>;

/**
 * One entitlement and where it stands. `percentage` is used of the limit, 0 to 100 and beyond, null when unlimited;
 * `band`: `ok` below 75 %, `warning` to 90 %, `critical` above. `per` subject: the caller's own. `overage` is what is used
 * beyond the limit, null when unlimited.
 */
export const QuotaStatus = z.object({
  metric: z.string(),
  unit: z.string(),
  kind: z.enum(["counter", "gauge"]),
  period: QuotaPeriod,
  per: z.enum(["tenant", "subject"]),
  limit_value: z.number().nullable(),
  used: z.number(),
  remaining: z.number().nullable(),
  percentage: z.number().nullable(),
  band: z.enum(["ok", "warning", "critical"]),
  resets_at: z.string().nullable(),
  enforcement: z.enum(["hard", "soft"]),
  is_override: z.boolean(),
  overage: z.number().nullable(),
});
export type QuotaStatus = z.infer<typeof QuotaStatus>;

export const CustomQuota = z.object({
  tenant_id: z.string(),
  metric: z.string(),
  period: QuotaPeriod,
  per: z.enum(["tenant", "subject"]),
  limit_value: z.number().nullable(),
});
export type CustomQuota = z.infer<typeof CustomQuota>;

/** How many takes of a limited metric were allowed and denied, since ever. */
export const QuotaChecks = z.object({ metric: z.string(), allowed: z.number(), denied: z.number() });
export type QuotaChecks = z.infer<typeof QuotaChecks>;

/** The caller's rate limits in one tenant: of each, the window with the least left; null is unlimited. `tier` is the plan. */
export const RateLimitUsage = z.object({
  tenant_id: z.string(),
  tier: z.string(),
  requests: z.number().nullable(),
  requests_remaining: z.number().nullable(),
  requests_reset_at: z.string().nullable(),
  analysis_runs: z.number().nullable(),
  analysis_runs_remaining: z.number().nullable(),
  analysis_runs_reset_at: z.string().nullable(),
});
export type RateLimitUsage = z.infer<typeof RateLimitUsage>;

/** A receipt, told: the window that decided, every window consulted, the plan then in force, and one sentence. */
export const QuotaExplanation = QuotaDecision.omit({ decision_id: true }).extend({
  decision_id: z.string(),
  tenant_id: z.string(),
  subject: z.string(),
  amount: z.number(),
  plan_id: z.string(),
  is_override: z.boolean().nullable(),
  windows: z.array(
    z.object({
      period: QuotaPeriod,
      subject: z.string(),
      limit_value: z.number().nullable(),
      enforcement: z.enum(["hard", "soft"]),
      is_override: z.boolean(),
      window_start: z.string(),
      used: z.number(),
    }),
  ),
  decided_at: z.string(),
  explanation: z.string(),
});
export type QuotaExplanation = z.infer<typeof QuotaExplanation>;

export interface Settlement {
  reservationId: string;
  /** What was really used, 0 or more. */
  actualAmount: number;
  event?: UsageEvent;
}

/** One of the quotas that are taken together. */
export interface QuotaItem extends ConsumeOptions {
  metric: string;
}

export interface QuotaOptions extends EnforcementOptions {
  /** Calls of `consumeQuota` in flight at a time; who asks meanwhile goes with the next. 4 by default. */
  maxCalls?: number;
  /** How long a call of `consumeQuota` may take, in milliseconds; 10,000 by default. */
  timeoutMs?: number;
}

/** Used of the limit, as in `987 / 1,000`, or `987 / ∞`. */
export function formatQuota({ used, limit_value }: Pick<QuotaStatus, "used" | "limit_value">): string {
  const text = (value: number) => value.toLocaleString("en-US");
  return `${text(used)} / ${limit_value === null ? "∞" : text(limit_value)}`;
}

export interface ConsumeOptions {
  /** 1 to 2^53-1; 1 by default. */
  amount?: number;
  /** For limits per subject. Only the service role names one; a user is always themselves. */
  subject?: string;
  /** The same request with the same key gets the first grant again and takes nothing, for 48 hours. */
  idempotencyKey?: string;
}

export interface ReserveOptions extends Omit<ConsumeOptions, "amount"> {
  /** 1 to 86400; 300 by default. */
  ttlSeconds?: number;
  /** Recorded with what was used when it is settled without another event, or expires with something spent. */
  event?: UsageEvent;
}

/** Quota: taking it, holding it, and seeing what is left. */
export class Quota {
  readonly #client: Client;
  readonly #coalescer: QuotaCoalescer<QuotaDecision>;
  readonly #enforcer: Enforcer;
  readonly #timeoutMs: number;

  constructor(client: Client, { maxCalls = 4, timeoutMs = 10_000, ...enforcement }: QuotaOptions = {}) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#coalescer = new QuotaCoalescer((takes) => this.#send(takes), maxCalls);
    this.#enforcer = new Enforcer(client, this, enforcement);
  }

  /**
   * Takes an amount, exactly, however many ask at once. A denial is an answer, not an error. Callers that ask for the same
   * counter at once share one call.
   */
  consumeQuota(tenantId: string, metric: string, options: ConsumeOptions = {}): Promise<QuotaDecision> {
    const { amount = 1, subject, idempotencyKey } = options;
    return this.#coalescer.take({ tenantId, metric, amount, subject, idempotencyKey });
  }

  /** A lone take, or groups of them. */
  async #send(groups: TakeGroup[]): Promise<QuotaDecision[]> {
    const options = { signal: AbortSignal.timeout(this.#timeoutMs) };
    const [[first, ...others], ...rest] = groups as [TakeGroup, ...TakeGroup[]];
    if (others.length + rest.length === 0) {
      const { tenantId, metric, amount, subject, idempotencyKey } = first;
      const args = { tenant_id: tenantId, metric, amount, subject, idempotency_key: idempotencyKey };
      return [await callOne(this.#client, "consume_quota", args, QuotaDecision, options)];
    }
    const batches = groups.map((takes) => {
      const [{ tenantId, metric, subject }] = takes;
      const hasKeys = takes.some(({ idempotencyKey }) => idempotencyKey !== undefined);
      return {
        tenant_id: tenantId,
        metric,
        amounts: takes.map(({ amount }) => amount),
        ...(subject !== undefined && { subject }),
        ...(hasKeys && { idempotency_keys: takes.map(({ idempotencyKey }) => idempotencyKey ?? null) }),
      };
    });
    return callRows(this.#client, "consume_quota_batches", { batches }, QuotaDecision, options);
  }

  /** Takes all of these or none; where one is denied, the others say `denied_together`. */
  consumeQuotas(tenantId: string, items: QuotaItem[]): Promise<QuotaDecision[]> {
    const args = {
      tenant_id: tenantId,
      items: items.map(({ idempotencyKey, ...item }) => ({
        ...item,
        ...(idempotencyKey !== undefined && { idempotency_key: idempotencyKey }),
      })) as Json,
    };
    const options = { signal: AbortSignal.timeout(this.#timeoutMs) };
    return callRows(this.#client, "consume_quotas", args, QuotaDecision, options);
  }

  /**
   * `consumeQuota` for whom an outage must not surprise: tried again under an idempotency key, and where the database stays
   * away, decided by the metric's failure mode with the reason `database_unavailable`. What an open metric allowed meanwhile
   * is taken under its original key when the database is back.
   */
  enforceQuota(
    tenantId: string,
    metric: string,
    amount = 1,
    options: EnforceOptions = {},
  ): Promise<QuotaDecision> {
    return this.#enforcer.enforce(tenantId, { metric, amount, ...options });
  }

  /** `consumeQuotas` likewise; allowed without the database only when every metric is open. */
  enforceMultipleQuotas(tenantId: string, quotas: QuotaItem[]): Promise<MultipleQuotaResult> {
    return this.#enforcer.enforceAll(tenantId, quotas);
  }

  /** Sends what was allowed while the database was away, for at most `timeoutMs`: for the end of the program. */
  shutdown(timeoutMs?: number): Promise<void> {
    return this.#enforcer.shutdown(timeoutMs);
  }

  /** What `consumeQuota` would answer, taking nothing. */
  checkTenantQuota(
    tenantId: string,
    metric: string,
    options: Omit<ConsumeOptions, "idempotencyKey"> = {},
  ): Promise<QuotaDecision> {
    const { amount, subject } = options;
    const args = {
      tenant_id: tenantId,
      metric,
      amount,
      subject,
    };
    return callOne(this.#client, "check_tenant_quota", args, QuotaDecision, { get: true });
  }

  /** Holds an amount for work whose real amount is known later: settle or release it by its `reservation_id`. */
  reserveQuota(
    tenantId: string,
    metric: string,
    amount: number,
    options: ReserveOptions = {},
  ): Promise<QuotaReservation> {
    const { subject, ttlSeconds, idempotencyKey, event } = options;
    const args = {
      tenant_id: tenantId,
      metric,
      amount,
      subject,
      ttl_seconds: ttlSeconds,
      idempotency_key: idempotencyKey,
      event,
    };
    return callOne(this.#client, "reserve_quota", args, QuotaReservation);
  }

  /**
   * Declares what a reservation holds spent, takes an amount more for it, and renews its time. A denial leaves it as large
   * as it was; when it expires, only the last increment is given back.
   */
  extendReservation(reservationId: string, amount: number): Promise<QuotaReservation> {
    const args = { reservation_id: reservationId, amount };
    return callOne(this.#client, "extend_reservation", args, QuotaReservation);
  }

  /**
   * Ends a reservation with what was really used (0 or more, also more than reserved); the usage event, if given, is
   * recorded in the same transaction. The id is the authority: no session is needed.
   */
  settleReservation(
    reservationId: string,
    actualAmount: number,
    event?: UsageEvent,
  ): Promise<QuotaReservation> {
    const args = {
      reservation_id: reservationId,
      actual_amount: actualAmount,
      event,
    };
    return callOne(this.#client, "settle_reservation", args, QuotaReservation);
  }

  /** Ends several reservations in one transaction, all or none. Each answer names its reservation; they come in no order. */
  settleReservations(settlements: Settlement[]): Promise<QuotaReservation[]> {
    const args = {
      settlements: settlements.map(({ reservationId, actualAmount, event }) => ({
        reservation_id: reservationId,
        actual_amount: actualAmount,
        ...(event && { event }),
      })) as Json,
    };
    return callRows(this.#client, "settle_reservations", args, QuotaReservation);
  }

  /** Gives a reservation back unused. */
  releaseReservation(reservationId: string): Promise<QuotaReservation> {
    return callOne(this.#client, "release_reservation", { reservation_id: reservationId }, QuotaReservation);
  }

  /** Every entitlement of a tenant and where it stands. */
  getQuotaStatus(tenantId: string): Promise<QuotaStatus[]> {
    return callRows(this.#client, "get_quota_status", { tenant_id: tenantId }, QuotaStatus, { get: true });
  }

  /** Sets one tenant's own limit (null: unlimited) for a period (by default the metric's). Platform admins only. */
  setCustomQuota(
    tenantId: string,
    metric: string,
    limitValue: number | null,
    period?: QuotaPeriod,
  ): Promise<CustomQuota> {
    const args = { tenant_id: tenantId, metric, limit_value: limitValue, period };
    return callOne(this.#client, "set_custom_quota", args, CustomQuota);
  }

  /** Takes a tenant's own limit back, so that its plan's holds again; what it was, or null. Platform admins only. */
  async clearCustomQuota(
    tenantId: string,
    metric: string,
    period?: QuotaPeriod,
  ): Promise<CustomQuota | null> {
    const args = { tenant_id: tenantId, metric, period };
    const [cleared] = await callRows(this.#client, "clear_custom_quota", args, CustomQuota);
    return cleared ?? null;
  }

  /**
   * Sets what is used back to nothing but live reservations, in every period and for every subject unless named (`""` is
   * the tenant itself); how many counters that were. Platform admins only.
   */
  resetQuotaCounter(
    tenantId: string,
    metric: string,
    { period, subject }: { period?: QuotaPeriod; subject?: string } = {},
  ): Promise<number> {
    const args = { tenant_id: tenantId, metric, period, subject };
    return call(this.#client, "reset_quota_counter", args, z.number());
  }

  /** How many takes of each limited metric were allowed and denied. */
  getQuotaChecks(tenantId: string): Promise<QuotaChecks[]> {
    return callRows(this.#client, "get_quota_checks", { tenant_id: tenantId }, QuotaChecks, { get: true });
  }

  /** The caller's rate limits in each of its tenants, or in one. */
  getRateLimitUsage(tenantId?: string): Promise<RateLimitUsage[]> {
    return callRows(this.#client, "get_rate_limit_usage", { tenant_id: tenantId }, RateLimitUsage, {
      get: true,
    });
  }

  /** Why a decision fell as it did, by its `decision_id`. */
  explainDecision(decisionId: string): Promise<QuotaExplanation> {
    const args = { decision_id: decisionId };
    return callOne(this.#client, "explain_decision", args, QuotaExplanation, { get: true });
  }
}

/** Beside metric and amount. */
export type EnforceOptions = Omit<ConsumeOptions, "amount">;
