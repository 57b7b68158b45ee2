import type { Rpc } from "../../supabase/functions/_shared/database.ts";
import { guardedPost } from "../../supabase/functions/_shared/guarded_fetch.ts";
import { ApiError } from "../../supabase/functions/_shared/http.ts";
import { consoleChannel } from "../../supabase/functions/deliver-alerts/channels/console.ts";
import { emailChannel } from "../../supabase/functions/deliver-alerts/channels/email.ts";
import { pagerdutyChannel } from "../../supabase/functions/deliver-alerts/channels/pagerduty.ts";
import { slackChannel } from "../../supabase/functions/deliver-alerts/channels/slack.ts";
import { webhookChannel } from "../../supabase/functions/deliver-alerts/channels/webhook.ts";
import { systemClock as clock } from "../../supabase/functions/deliver-alerts/clock.ts";
import { outboxOf } from "../../supabase/functions/deliver-alerts/outbox.ts";
import { createSend } from "../../supabase/functions/deliver-alerts/send.ts";
import type { WorkerDeps } from "../../supabase/functions/deliver-alerts/worker.ts";
import { Client } from "./connections.ts";

/**
 * What `deliver-alerts` works with, but for the data API: it calls the database itself, from one connection at a time, and
 * like the API answers 503 when that is lost. Webhooks may go to this machine; mails go nowhere.
 */
export function deliveryOf(databaseUrl: string, leaseSeconds: number): WorkerDeps & { end(): Promise<void> } {
  const idle: Client[] = [];
  const service: Rpc = async (name, args) => {
    const client = idle.pop() ?? new Client(databaseUrl, "deliver-alerts");
    const rows = await client.attempt((sql) =>
      name === "claim_alert_notifications"
        ? sql`select to_jsonb(c) as row from public.claim_alert_notifications(${args.max_rows as number}, ${leaseSeconds}) c`
        : sql`select public.complete_alert_notifications(${sql.json(args.outcomes as never)}) as row`,
    );
    idle.push(client);
    if (!rows) throw new ApiError(503, "database_unavailable", "The database cannot be reached; try again.");
    return rows.map(({ row }) => row);
  };
  const deps = { post: guardedPost({ allowedHosts: ["127.0.0.1"] }), now: () => new Date() };
  return {
    clock,
    outbox: outboxOf(service),
    send: createSend({
      channels: {
        email: emailChannel(null, { ...deps, smtp: () => Promise.reject(new Error("no server")) }),
        slack: slackChannel(deps),
        webhook: webhookChannel(deps),
        pagerduty: pagerdutyChannel({ ...deps, url: "https://events.pagerduty.com/v2/enqueue" }),
        console: consoleChannel,
      },
      siteUrl: null,
      clock,
    }),
    end: async () => {
      await Promise.all(idle.map((client) => client.end()));
    },
  };
}
