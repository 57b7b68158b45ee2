import { z } from "zod";
import { readBody } from "../_shared/http.ts";
import type { AddRoute } from "./app.ts";

const NewKey = z.object({
  name: z.string(),
  role: z.enum(["owner", "admin", "editor", "viewer"]),
  expires_at: z.iso.datetime({ offset: true }).nullable().optional(),
});

/** API keys of a tenant. The answer to a POST is the only one with the secret. */
export function apiKeyRoutes(add: AddRoute): void {
  add("get", "/api-keys", async ({ caller, tenantId }) =>
    Response.json(await caller.rows("api_keys", { tenant_id: tenantId }, "created_at")),
  );
  add("post", "/api-keys", async ({ caller, tenantId, request }) => {
    const key = await readBody(request, NewKey);
    const created = await caller.rpc("create_api_key", { tenant_id: tenantId, ...key });
    return Response.json(created, { status: 201 });
  });
  add("delete", "/api-keys/:id", async ({ caller, id }) => {
    await caller.rpc("revoke_api_key", { id: id("id") });
    return new Response(null, { status: 204 });
  });
}
