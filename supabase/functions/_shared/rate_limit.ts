import type { Rpc } from "./database.ts";
import { errorResponse } from "./http.ts";
import { consume, countRequest, type Decision, quotaExceeded, rateLimitHeaders } from "./quota.ts";

export interface RateLimit {
  /** Calls as whoever sent the request. */
  rpc: Rpc;
  tenantId: string;
  /** What the request takes one of besides, in this order: a request that is denied a run still was a request. */
  metrics?: string[];
  now: () => Date;
  onDenial?: () => Promise<void>;
}

/**
 * Counts a request, then handles it: 429 once a limit is reached, else the handler's response with `X-RateLimit-*` of the
 * last metric that is limited, also where the handler failed. Those of a response that brings its own stay.
 */
export async function rateLimited(limit: RateLimit, handle: () => Promise<Response>): Promise<Response> {
  let shown: Decision | null = null;
  const takes = [
    () => countRequest(limit.rpc, limit.tenantId),
    ...(limit.metrics ?? []).map((metric) => () => consume(limit.rpc, limit.tenantId, metric)),
  ];
  for (const take of takes) {
    const decision = await take();
    if (!decision.allowed) {
      await limit.onDenial?.();
      return quotaExceeded(decision, limit.now());
    }
    if (decision.limit_value !== null) shown = decision;
  }
  const response = await handle().catch(errorResponse);
  if (response.headers.has("x-ratelimit-limit")) return response;
  for (const [name, value] of Object.entries(rateLimitHeaders(shown))) response.headers.set(name, value);
  return response;
}
