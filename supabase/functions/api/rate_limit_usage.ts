import { z } from "zod";
import type { Caller } from "../_shared/caller.ts";
import type { Rpc } from "../_shared/database.ts";
import { ApiError } from "../_shared/http.ts";

const count = z.number().nullable();
const RateLimitUsage = z.object({
  tenant_id: z.string(),
  tier: z.string(),
  requests: count,
  requests_remaining: count,
  analysis_runs: count,
  analysis_runs_remaining: count,
});

/** A tenant's plan, its limits of requests and analysis runs, and what is left of each for the caller; null is unlimited. */
export interface TenantRateLimits {
  tier: string;
  requests: number | null;
  requestsRemaining: number | null;
  analysisRuns: number | null;
  analysisRunsRemaining: number | null;
}

async function rateLimitUsage(rpc: Rpc, args: { tenant_id?: string }) {
  return z.array(RateLimitUsage).parse(await rpc("get_rate_limit_usage", args));
}

/** The tenant that a request names, else that of its API key, or the only one that its user has. */
export async function resolveTenant(caller: Caller, named: string | undefined): Promise<string> {
  if (named !== undefined) {
    if (z.uuid().safeParse(named).success) return named;
    throw new ApiError(400, "invalid_request", "tenant_id: Invalid UUID");
  }
  if (caller.tenantId) return caller.tenantId;
  const [first, ...others] = await rateLimitUsage(caller.rpc, {});
  if (!first) throw new ApiError(404, "tenant_not_found", "You belong to no tenant.");
  if (others.length === 0) return first.tenant_id;
  throw new ApiError(400, "tenant_required", "You belong to several tenants: name one as ?tenant_id=.");
}

export async function tenantRateLimits(rpc: Rpc, tenantId: string): Promise<TenantRateLimits> {
  const [row] = await rateLimitUsage(rpc, { tenant_id: tenantId });
  if (!row) throw new ApiError(404, "tenant_not_found", "There is no such tenant.");
  return {
    tier: row.tier,
    requests: row.requests,
    requestsRemaining: row.requests_remaining,
    analysisRuns: row.analysis_runs,
    analysisRunsRemaining: row.analysis_runs_remaining,
  };
}
