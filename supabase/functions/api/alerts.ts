import { z } from "zod";
import { ApiError, parse, readOptionalJson } from "../_shared/http.ts";
import type { AddRoute, TenantRequest } from "./app.ts";

const MAX_BYTES = 10_000;
const Filter = z.strictObject({
  status: z.enum(["open", "acknowledged", "resolved"]).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  offset: z.coerce.number().int().min(0).default(0),
});
const Note = z.strictObject({ note: z.string().max(2000).nullable().optional() });
const Changed = z.number();

/** A tenant's alerts, the newest first, and what members do with them and with channels. */
export function alertRoutes(add: AddRoute): void {
  add("get", "/alerts", async ({ caller, tenantId, query }) => {
    const { status, limit, offset } = parse(Filter, query);
    const match = { tenant_id: tenantId, ...(status && { status }) };
    return Response.json(
      await caller.rows("alerts", match, "opened_at", { isDescending: true, limit, offset }),
    );
  });
  add("post", "/alerts/:id/acknowledge", async (sent) => {
    const id = await ownId(sent, "alerts", "alert_not_found");
    const changed = Changed.parse(await sent.caller.rpc("acknowledge_alert", { id }));
    return Response.json({ changed: changed === 1 });
  });
  add("post", "/alerts/:id/resolve", async (sent) => {
    const { note } = parse(Note, await readOptionalJson(sent.request, MAX_BYTES));
    const id = await ownId(sent, "alerts", "alert_not_found");
    const args = { id, ...(note != null && { note }) };
    const changed = Changed.parse(await sent.caller.rpc("resolve_alert", args));
    return Response.json({ changed: changed === 1 });
  });
  add("post", "/alert-channels/:id/test", async (sent) => {
    const channel_id = await ownId(sent, "alert_channels", "alert_channel_not_found");
    const notification_ids = await sent.caller.rpc("test_alert_channel", { channel_id });
    return Response.json({ notification_ids }, { status: 202 });
  });
  // The answer is the only one with the secret.
  add("post", "/alert-channels/:id/rotate-secret", async (sent) => {
    const id = await ownId(sent, "alert_channels", "alert_channel_not_found");
    return Response.json({ secret: await sent.caller.rpc("rotate_channel_secret", { id }) });
  });
}

/** The id in the path, which has to be of the tenant in the path: the functions that take it would find any tenant's. */
async function ownId(
  { caller, tenantId, id }: TenantRequest,
  table: string,
  missing: string,
): Promise<string> {
  const match = { tenant_id: tenantId, id: id("id") };
  const rows = z.array(z.unknown()).parse(await caller.rows(table, match, "id"));
  if (rows.length === 0) throw new ApiError(404, missing, "There is no such thing in this tenant.");
  return match.id;
}
