import { Hono } from "hono";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, bearerToken, errorResponse } from "../_shared/http.ts";
import { rateLimited } from "../_shared/rate_limit.ts";
import { resolveTenant, tenantRateLimits } from "./rate_limit_usage.ts";

export interface ApiDeps {
  /** Calls the database as the bearer of a token, or as nobody. */
  rpc: (token: string | null) => Rpc;
  now: () => Date;
}

/** The REST surface under `/functions/v1/api`: each request counts against the tenant's rate limit. */
export function createApi(deps: ApiDeps): Hono {
  const app = new Hono().basePath("/api");

  app.get("/rate-limit/usage", async (c) => {
    const rpc = deps.rpc(bearerToken(c.req.raw));
    const tenantId = await resolveTenant(rpc, c.req.query("tenant_id"));
    return rateLimited({ rpc, tenantId, now: deps.now }, async () =>
      Response.json(await tenantRateLimits(rpc, tenantId)),
    );
  });
  app.all("/rate-limit/usage", () => {
    throw new ApiError(405, "method_not_allowed", "Send a GET request.");
  });

  app.notFound((c) => errorResponse(new ApiError(404, "not_found", `There is nothing at ${c.req.path}.`)));
  app.onError(errorResponse);
  return app;
}
