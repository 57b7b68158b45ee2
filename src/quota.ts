import { z } from "zod";
import { type Client, callOne, callRows } from "./client.ts";
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
 * `band`: `ok` below 75 %, `warning` to 90 %, `critical` above. `per` subject: the caller's own.
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
}

/** Quota: taking it, holding it, and seeing what is left. */
export class Quota {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Takes an amount, exactly, however many ask at once. A denial is an answer, not an error. */
  consumeQuota(tenantId: string, metric: string, options: ConsumeOptions = {}): Promise<QuotaDecision> {
    const { amount, subject, idempotencyKey } = options;
    const args = {
      tenant_id: tenantId,
      metric,
      amount,
      subject,
      idempotency_key: idempotencyKey,
    };
    return callOne(this.#client, "consume_quota", args, QuotaDecision);
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
    const { subject, ttlSeconds, idempotencyKey } = options;
    const args = {
      tenant_id: tenantId,
      metric,
      amount,
      subject,
      ttl_seconds: ttlSeconds,
      idempotency_key: idempotencyKey,
    };
    return callOne(this.#client, "reserve_quota", args, QuotaReservation);
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
}
