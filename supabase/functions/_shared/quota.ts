import { z } from "zod";
import { one, type Rpc } from "./database.ts";

/** The answer to a quota question, for the tightest window: `public.quota_answer`. */
export const Decision = z.object({
  allowed: z.boolean(),
  metric: z.string(),
  period: z.enum(["minute", "hour", "day", "month", "none"]).nullable(),
  limit_value: z.number().nullable(),
  used: z.number().nullable(),
  remaining: z.number().nullable(),
  resets_at: z.string().nullable(),
  reason: z.string().nullable(),
  decision_id: z.string().nullable(),
});
export type Decision = z.infer<typeof Decision>;

export const Reservation = Decision.extend({ reservation_id: z.string().nullable() });
export type Reservation = z.infer<typeof Reservation>;

/** Counts one request of the caller. */
export async function countRequest(rpc: Rpc, tenantId: string): Promise<Decision> {
  return one(Decision, await rpc("count_request", { tenant_id: tenantId }));
}

export async function consume(rpc: Rpc, tenantId: string, metric: string): Promise<Decision> {
  return one(Decision, await rpc("consume_quota", { tenant_id: tenantId, metric }));
}

/** `event` is the usage event to record if the reservation expires with something spent. */
export async function reserve(
  rpc: Rpc,
  tenantId: string,
  metric: string,
  amount: number,
  options: { ttlSeconds: number; event?: Record<string, unknown> },
): Promise<Reservation> {
  const { ttlSeconds, event = null } = options;
  const args = { tenant_id: tenantId, metric, amount, ttl_seconds: ttlSeconds, event };
  return one(Reservation, await rpc("reserve_quota", args));
}

/** Takes more for a reservation whose whole amount is spent, and renews its time. As with settling, the id is enough. */
export async function extend(rpc: Rpc, id: string, amount: number): Promise<Reservation> {
  return one(Reservation, await rpc("extend_reservation", { reservation_id: id, amount }));
}

export interface Settlement {
  reservation_id: string;
  actual_amount: number;
  event?: Record<string, unknown>;
}

/** Settles all of them or none. Needs no more authority than the reservations' ids, so `rpc` may be anybody's. */
export async function settle(rpc: Rpc, settlements: Settlement[]): Promise<Reservation[]> {
  return z.array(Reservation).parse(await rpc("settle_reservations", { settlements }));
}

/** `X-RateLimit-*` of a limited decision; none where there is no limit. The reset is ISO 8601 in UTC. */
export function rateLimitHeaders(decision: Decision | null): Record<string, string> {
  if (!decision || decision.limit_value === null) return {};
  return {
    "x-ratelimit-limit": String(decision.limit_value),
    "x-ratelimit-remaining": String(decision.remaining),
    ...(decision.resets_at && { "x-ratelimit-reset": new Date(decision.resets_at).toISOString() }),
  };
}

const ADVERB = { minute: "Per-minute ", hour: "Hourly ", day: "Daily ", month: "Monthly ", none: "" };

/** The 429 of a denial: the seconds until asking again makes sense, in the body and as `Retry-After`. */
export function quotaExceeded(decision: Decision, now: Date): Response {
  const period = decision.period ?? "none";
  const noun = decision.metric.replaceAll("_", " ");
  const sentence = `${ADVERB[period]}${noun} limit exceeded: ${decision.limit_value}${period === "none" ? "" : `/${period}`}.`;
  const message = `${sentence[0]?.toUpperCase()}${sentence.slice(1)} Upgrade your plan for more.`;
  const retryAfter = decision.resets_at
    ? Math.max(1, Math.ceil((new Date(decision.resets_at).getTime() - now.getTime()) / 1000))
    : null;
  const error = {
    code: "quota_exceeded",
    message,
    hint: decision.reason,
    metric: decision.metric,
    decision_id: decision.decision_id,
  };
  return Response.json(
    { error, retryAfter },
    {
      status: 429,
      headers: {
        ...rateLimitHeaders(decision),
        ...(retryAfter !== null && { "retry-after": String(retryAfter) }),
      },
    },
  );
}
