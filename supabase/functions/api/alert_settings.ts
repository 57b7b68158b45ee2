import { z } from "zod";
import { ApiError, readBody } from "../_shared/http.ts";
import type { AddRoute, TenantRequest } from "./app.ts";

const severity = z.enum(["low", "medium", "high", "critical"]);
// Strict: a threshold with a slip of the pen would be the type's own.
const rule = {
  name: z.string(),
  metric: z.string().nullable().optional(),
  threshold: z.number().min(0).nullable().optional(),
  window_minutes: z.number().int().min(1).nullable().optional(),
  severity: severity.nullable().optional(),
  enabled: z.boolean().optional(),
  /** Such as `1 hour`. */
  cooldown: z.string().max(100).optional(),
  channel_ids: z.array(z.uuid()).max(20).optional(),
};
const channel = {
  name: z.string(),
  /** By type: email {recipients}, slack {webhook_url, channel?}, webhook {url}, pagerduty {routing_key}, console {}. */
  config: z.record(z.string(), z.unknown()),
  /** What is less severe is not told; `low`, all, when absent. */
  min_severity: severity.optional(),
  enabled: z.boolean().optional(),
};
const changesOf = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z
    .strictObject(shape)
    .partial()
    .refine((changes) => Object.keys(changes).length > 0, "names nothing to change");

const channelType = z.enum(["email", "slack", "webhook", "pagerduty", "console"]);
const RESOURCES = [
  {
    path: "/alert-rules",
    table: "alert_rules",
    missing: new ApiError(404, "alert_rule_not_found", "There is no such rule."),
    Added: z.strictObject({ ...rule, type: z.string() }),
    Changes: changesOf(rule),
  },
  {
    path: "/alert-channels",
    table: "alert_channels",
    missing: new ApiError(404, "alert_channel_not_found", "There is no such channel."),
    Added: z.strictObject({ ...channel, config: channel.config.default({}), type: channelType }),
    Changes: changesOf(channel),
  },
];

/** What a tenant wants to be told of, and where. */
export function alertSettingRoutes(add: AddRoute): void {
  for (const { path, table, missing, Added, Changes } of RESOURCES) {
    add("get", path, async ({ caller, tenantId }) =>
      Response.json(await caller.rows(table, { tenant_id: tenantId }, "created_at")),
    );
    add("post", path, async ({ caller, tenantId, request }) => {
      const row = await readBody(request, Added);
      return Response.json(await caller.insert(table, { ...row, tenant_id: tenantId }), { status: 201 });
    });
    add("patch", `${path}/:id`, async (sent) => {
      const changes = await readBody(sent.request, Changes);
      const [row] = await sent.caller.update(table, rowOf(sent), changes);
      if (row === undefined) throw await refusalOf(sent, table, missing);
      return Response.json(row);
    });
    add("delete", `${path}/:id`, async (sent) => {
      const rows = await sent.caller.remove(table, rowOf(sent));
      if (rows.length === 0) throw await refusalOf(sent, table, missing);
      return new Response(null, { status: 204 });
    });
  }
}

const rowOf = ({ tenantId, id }: TenantRequest) => ({ tenant_id: tenantId, id: id("id") });

/** Row level security says no by finding nothing: what is there nevertheless is not for the caller to change. */
async function refusalOf(sent: TenantRequest, table: string, missing: ApiError): Promise<ApiError> {
  const seen = z.array(z.unknown()).parse(await sent.caller.rows(table, rowOf(sent), "id"));
  if (seen.length === 0) return missing;
  return new ApiError(403, "permission_denied", "You may not do this in this tenant.");
}
