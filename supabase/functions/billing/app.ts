import { type Context, Hono } from "hono";
import type Stripe from "stripe";
import { hashSecret } from "../_shared/api_key.ts";
import type { Callers } from "../_shared/caller.ts";
import { ApiError, errorResponse, parse, readOptionalJson } from "../_shared/http.ts";
import { fromStripe, notConfigured } from "../_shared/stripe.ts";
import { resolveTenant } from "../_shared/tenant.ts";
import { checkoutRoutes } from "./checkout.ts";
import { maintenanceRoutes } from "./maintenance.ts";
import type { AddRoutes, Shop } from "./routes.ts";
import { stateRoutes } from "./state.ts";
import { subscriptionRoutes } from "./subscription.ts";

export interface BillingDeps extends Callers {
  /** The project's secret key, which its own schedule sends. */
  secretKey: string;
  /** Null where Stripe is not configured. */
  shop: Shop | null;
  now: () => Date;
}

const MAX_BYTES = 100_000;
const MAX_KEY_LENGTH = 255;

/**
 * What is sold, under `/functions/v1/billing`. Requests count against no limit: a tenant that has used up its own must be
 * able to buy more.
 */
export function createBilling(deps: BillingDeps): Hono {
  const app = new Hono().basePath("/billing");
  const paths = new Set<string>();
  const shop = () => {
    if (!deps.shop) throw notConfigured("STRIPE_SECRET_KEY");
    return deps.shop;
  };
  const add = (method: "get" | "post", path: string, handle: (c: Context) => Promise<Response>) => {
    paths.add(path);
    app[method](path, handle);
  };
  const routes: AddRoutes = {
    read: (path, handle) =>
      add("get", path, async (c) => {
        const caller = await deps.identify(c.req.raw);
        return handle({ caller, tenantId: await resolveTenant(caller, c.req.query("tenant_id")) });
      }),
    order: (path, schema, handle) =>
      add("post", path, async (c) => {
        const request = c.req.raw;
        const openShop = shop();
        const caller = await deps.identify(request);
        const body = parse(schema, await readOptionalJson(request, MAX_BYTES));
        const idempotencyKey = idempotencyKeyOf(request);
        const tenantId = await resolveTenant(caller, body.tenant_id ?? c.req.query("tenant_id"));
        const options = await stripeOptions(tenantId, path, idempotencyKey);
        return handle({ ...openShop, caller, tenantId, request, body, idempotencyKey, options });
      }),
    plain: (method, path, handle) => add(method, path, (c) => handle(c.req.raw)),
  };
  stateRoutes(routes, deps.nobody);
  checkoutRoutes(routes);
  subscriptionRoutes(routes);
  maintenanceRoutes(routes, { ...deps, shop });

  for (const path of paths) {
    app.all(path, (c) => {
      throw new ApiError(405, "method_not_allowed", `${c.req.method} is not for ${c.req.path}.`);
    });
  }
  app.notFound((c) => errorResponse(new ApiError(404, "not_found", `There is nothing at ${c.req.path}.`)));
  app.onError((error) => errorResponse(fromStripe(error)));
  return app;
}

function idempotencyKeyOf(request: Request): string | null {
  const key = request.headers.get("idempotency-key");
  if (key === null || (key.length > 0 && key.length <= MAX_KEY_LENGTH)) return key;
  throw new ApiError(
    400,
    "invalid_idempotency_key",
    `An idempotency key has 1 to ${MAX_KEY_LENGTH} characters.`,
  );
}

/** The caller's key, bound to tenant and route; without one the library makes its own for its retries. */
async function stripeOptions(
  tenantId: string,
  path: string,
  key: string | null,
): Promise<Stripe.RequestOptions> {
  if (key === null) return {};
  return { idempotencyKey: `meterbase:${tenantId}:${path.slice(1)}:${await hashSecret(key)}` };
}
