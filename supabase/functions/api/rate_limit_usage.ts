import { z } from "zod";
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

export async function tenantRateLimits(rpc: Rpc, tenantId: string): Promise<TenantRateLimits> {
  const [row] = z.array(RateLimitUsage).parse(await rpc("get_rate_limit_usage", { tenant_id: tenantId }));
  if (!row) throw new ApiError(404, "tenant_not_found", "There is no such tenant.");
  return {
    tier: row.tier,
    requests: row.requests,
    requestsRemaining: row.requests_remaining,
    analysisRuns: row.analysis_runs,
    analysisRunsRemaining: row.analysis_runs_remaining,
  };
}
