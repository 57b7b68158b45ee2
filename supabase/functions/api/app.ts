import { type Context, Hono } from "hono";
import { z } from "zod";
import type { Caller, Identify } from "../_shared/caller.ts";
import { ApiError, errorResponse, parse, readBody } from "../_shared/http.ts";
import { rateLimited } from "../_shared/rate_limit.ts";
import { resolveTenant } from "../_shared/tenant.ts";
import { guardAdminArea } from "./admin.ts";
import { alertSettingRoutes } from "./alert_settings.ts";
import { alertRoutes } from "./alerts.ts";
import { apiKeyRoutes } from "./api_keys.ts";
import { auditRoutes } from "./audit_events.ts";
import { memberRoutes } from "./members.ts";
import { tenantRateLimits } from "./rate_limit_usage.ts";

export interface ApiDeps {
  identify: Identify;
  now: () => Date;
}

/** A request about one tenant, from somebody who is known. */
export interface TenantRequest {
  caller: Caller;
  tenantId: string;
  request: Request;
  /** A part of the path that is a UUID; 400 for anything else. */
  id: (name: string) => string;
  query: Record<string, string>;
  now: () => Date;
}

/** Adds a route under `/tenants/{tenant_id}`; its requests count against the tenant's rate limit. */
export type AddRoute = (
  method: "get" | "post" | "patch" | "delete",
  path: string,
  handle: (request: TenantRequest) => Promise<Response>,
) => void;

const NewTenant = z.object({ name: z.string(), plan_id: z.string().optional() });
const Answer = z.object({ token: z.string().min(1) });

/** The REST surface under `/functions/v1/api`. */
export function createApi(deps: ApiDeps): Hono {
  const app = new Hono().basePath("/api");
  guardAdminArea(app, deps.identify);
  const paths = new Set<string>();
  const uuid = (c: Context, name: string) => parse(z.object({ [name]: z.uuid() }), c.req.param())[name] ?? "";
  const add = (
    method: "get" | "post" | "patch" | "delete",
    path: string,
    handle: (c: Context) => Promise<Response>,
  ) => {
    paths.add(path);
    app[method](path, handle);
  };

  add("get", "/rate-limit/usage", async (c) => {
    const caller = await deps.identify(c.req.raw);
    const tenantId = await resolveTenant(caller, c.req.query("tenant_id"));
    return rateLimited({ rpc: caller.rpc, tenantId, now: deps.now }, async () =>
      Response.json(await tenantRateLimits(caller.rpc, tenantId)),
    );
  });

  add("get", "/tenants", async (c) => {
    const caller = await deps.identify(c.req.raw);
    return Response.json(await caller.rows("tenants", {}, "created_at"));
  });
  add("post", "/tenants", async (c) => {
    const caller = await deps.identify(c.req.raw);
    const body = await readBody(c.req.raw, NewTenant);
    return Response.json(await caller.rpc("create_tenant", body), { status: 201 });
  });

  for (const verb of ["accept", "reject"]) {
    add("post", `/invites/${verb}`, async (c) => {
      const caller = await deps.identify(c.req.raw);
      const { token } = await readBody(c.req.raw, Answer);
      const membership = await caller.rpc(`${verb}_invite`, { token });
      return verb === "accept" ? Response.json(membership) : new Response(null, { status: 204 });
    });
  }

  const addOfTenant: AddRoute = (method, path, handle) =>
    add(method, `/tenants/:tenant_id${path}`, async (c) => {
      const caller = await deps.identify(c.req.raw);
      const tenantId = uuid(c, "tenant_id");
      const request: TenantRequest = {
        caller,
        tenantId,
        request: c.req.raw,
        id: (name) => uuid(c, name),
        query: c.req.query(),
        now: deps.now,
      };
      return rateLimited({ rpc: caller.rpc, tenantId, now: deps.now }, () => handle(request));
    });
  memberRoutes(addOfTenant);
  apiKeyRoutes(addOfTenant);
  auditRoutes(addOfTenant);
  alertRoutes(addOfTenant);
  alertSettingRoutes(addOfTenant);

  for (const path of paths) {
    app.all(path, (c) => {
      throw new ApiError(405, "method_not_allowed", `${c.req.method} is not for ${c.req.path}.`);
    });
  }
  app.notFound((c) => errorResponse(new ApiError(404, "not_found", `There is nothing at ${c.req.path}.`)));
  app.onError(errorResponse);
  return app;
}
