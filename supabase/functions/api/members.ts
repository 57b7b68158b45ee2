import { z } from "zod";
import { readBody } from "../_shared/http.ts";
import type { AddRoute } from "./app.ts";

const role = z.enum(["owner", "admin", "editor", "viewer"]);
const Invite = z.object({ email: z.string(), role });
const Change = z.object({ role });

/** Members and invites of a tenant. */
export function memberRoutes(add: AddRoute): void {
  add("get", "/members", async ({ caller, tenantId }) =>
    Response.json(await caller.rpc("get_members", { tenant_id: tenantId })),
  );
  add("post", "/members", async ({ caller, tenantId, request }) => {
    const invite = await readBody(request, Invite);
    const created = await caller.rpc("invite_member", { tenant_id: tenantId, ...invite });
    return Response.json(created, { status: 201 });
  });
  add("patch", "/members/:user_id", async ({ caller, tenantId, id, request }) => {
    const { role } = await readBody(request, Change);
    const args = { tenant_id: tenantId, user_id: id("user_id"), role };
    return Response.json(await caller.rpc("update_member_role", args));
  });
  add("delete", "/members/:user_id", async ({ caller, tenantId, id }) => {
    await caller.rpc("remove_member", { tenant_id: tenantId, user_id: id("user_id") });
    return new Response(null, { status: 204 });
  });
  add("get", "/invites", async ({ caller, tenantId }) =>
    Response.json(await caller.rows("tenant_invites", { tenant_id: tenantId }, "created_at")),
  );
  add("delete", "/invites/:id", async ({ caller, id }) => {
    await caller.rpc("revoke_invite", { id: id("id") });
    return new Response(null, { status: 204 });
  });
}
