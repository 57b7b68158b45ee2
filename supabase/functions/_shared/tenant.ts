import { z } from "zod";
import type { Caller } from "./caller.ts";
import { ApiError } from "./http.ts";

const OwnTenants = z.array(z.object({ tenant_id: z.string() }));

/** The tenant that a request names, else that of its API key, or the only one that its user has. */
export async function resolveTenant(caller: Caller, named: string | undefined): Promise<string> {
  if (named !== undefined) {
    if (z.uuid().safeParse(named).success) return named;
    throw new ApiError(400, "invalid_request", "tenant_id: Invalid UUID");
  }
  if (caller.tenantId) return caller.tenantId;
  const [first, ...others] = OwnTenants.parse(await caller.rpc("get_rate_limit_usage", {}));
  if (!first) throw new ApiError(404, "tenant_not_found", "You belong to no tenant.");
  if (others.length === 0) return first.tenant_id;
  throw new ApiError(400, "tenant_required", "You belong to several tenants: name one as ?tenant_id=.");
}
