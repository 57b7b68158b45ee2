import { stringify } from "csv-stringify/sync";
import { z } from "zod";
import type { Rpc } from "../_shared/database.ts";
import { parse } from "../_shared/http.ts";
import type { AddRoute } from "./app.ts";

/** How many events an export asks for at a time: the most that the database gives. */
const PAGE = 1000;

const time = z.iso.datetime({ offset: true }).optional();
const filter = {
  action: z.string().optional(),
  entity_type: z.string().optional(),
  entity_id: z.string().optional(),
  actor_type: z.enum(["system", "admin", "tenant", "visitor", "api_key"]).optional(),
  user_id: z.uuid().optional(),
  severity: z.enum(["info", "warning", "error", "critical"]).optional(),
  result: z.enum(["success", "failure", "partial"]).optional(),
  category: z.enum(["activity", "failed", "security"]).optional(),
  source: z.enum(["database", "application"]).optional(),
  from: time,
  to: time,
};
// Strict: a filter with a slip of the pen would find more than was meant.
const Export = z.strictObject({ ...filter, format: z.enum(["csv", "json"]) });
const Page = z.strictObject({
  ...filter,
  limit: z.coerce.number().int().min(1).max(PAGE).default(50),
  offset: z.coerce.number().int().min(0).default(0),
  before_ts: time,
  before_id: z.uuid().optional(),
});
const Range = z.object({ from: z.iso.datetime({ offset: true }), to: z.iso.datetime({ offset: true }) });

const AuditEvent = z.looseObject({ event_id: z.string(), occurred_at: z.string() });
type AuditEvent = z.infer<typeof AuditEvent>;

/** The columns of a CSV, in their order. */
const COLUMNS = [
  ...[
    "occurred_at",
    "event_id",
    "event_type",
    "action",
    "entity_type",
    "entity_id",
    "actor_type",
    "actor_id",
  ],
  ...["source", "severity", "result", "changes_summary", "error_message", "old_values", "new_values"],
  ...["ip_address", "user_agent", "request_id", "metadata", "personal", "resolved_at", "resolved_by"],
  "resolution_note",
];

/** A tenant's audit events: pages, exports of all that a filter finds, the proof of their chain, and the report. */
export function auditRoutes(add: AddRoute): void {
  add("get", "/audit-events", async ({ caller, tenantId, query, now }) => {
    if (query.format !== undefined) {
      const { format, ...filter } = parse(Export, query);
      const args = argumentsOf(tenantId, { ...filter, to: filter.to ?? now().toISOString() });
      return exported(format, pages(caller.rpc, args));
    }
    const { limit, offset, before_ts, before_id, ...filter } = parse(Page, query);
    const args = argumentsOf(tenantId, filter);
    const events = await page(caller.rpc, {
      ...args,
      max_rows: limit,
      skip_rows: offset,
      before_ts,
      before_id,
    });
    const last = events.length === limit ? events.at(-1) : undefined;
    const next = last ? { before_ts: last.occurred_at, before_id: last.event_id } : null;
    return Response.json({ events, next });
  });
  add("get", "/audit-events/verify", async ({ caller, tenantId }) => {
    const rows = await caller.rpc("verify_audit_chain", { tenant_id: tenantId });
    return Response.json(z.tuple([z.unknown()]).parse(rows)[0]);
  });
  add("get", "/audit-report", async ({ caller, tenantId, query }) => {
    const { from, to } = parse(Range, query);
    const args = { tenant_id: tenantId, from_ts: from, to_ts: to };
    return Response.json(await caller.rpc("generate_audit_report", args));
  });
}

function argumentsOf(
  tenantId: string,
  { from, to, ...filter }: { from?: string | undefined; to?: string | undefined },
) {
  return { tenant_id: tenantId, from_ts: from, to_ts: to, ...filter };
}

async function page(rpc: Rpc, args: Record<string, unknown>): Promise<AuditEvent[]> {
  return z.array(AuditEvent).parse(await rpc("get_audit_events", args));
}

/** All events, newest first, page after page. */
async function* pages(rpc: Rpc, args: Record<string, unknown>): AsyncGenerator<AuditEvent[], void> {
  let before = {};
  for (;;) {
    const events = await page(rpc, { ...args, max_rows: PAGE, ...before });
    yield events;
    const last = events.at(-1);
    if (events.length < PAGE || !last) return;
    before = { before_ts: last.occurred_at, before_id: last.event_id };
  }
}

const FORMATS = {
  csv: {
    type: "text/csv; charset=utf-8",
    begin: `${COLUMNS.join(",")}\n`,
    // A cell that a spreadsheet would take for a formula is made text.
    write: (events: AuditEvent[]) => stringify(events, { columns: COLUMNS, escape_formulas: true }),
    end: "",
  },
  json: {
    type: "application/json",
    begin: "[",
    write: (events: AuditEvent[], isFirst: boolean) =>
      events.map((event, i) => `${isFirst && i === 0 ? "\n" : ",\n"}${JSON.stringify(event)}`).join(""),
    end: "\n]\n",
  },
};

/** Streams pages as they come, as one file. The first is read before the response begins, so that a refusal is a status. */
async function exported(format: keyof typeof FORMATS, source: AsyncGenerator<AuditEvent[], void>) {
  const { type, begin, write, end } = FORMATS[format];
  const encoder = new TextEncoder();
  let next = await source.next();
  let isFirst = true;
  const file = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (next.done) {
        controller.enqueue(encoder.encode(end));
        return controller.close();
      }
      controller.enqueue(encoder.encode((isFirst ? begin : "") + write(next.value, isFirst)));
      isFirst = false;
      next = await source.next();
    },
    async cancel() {
      await source.return();
    },
  });
  return new Response(file, {
    headers: { "content-type": type, "content-disposition": `attachment; filename="audit-events.${format}"` },
  });
}
