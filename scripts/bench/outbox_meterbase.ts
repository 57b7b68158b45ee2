import type pg from "pg";
import type { Sql } from "postgres";
import { connectPool } from "./billing_events.ts";
import type { Outbox } from "./outbox.ts";
import { count, empty } from "./outbox_rivals.ts";

/** What a claim asks for: more at once leaves too little of each lane for the other workers. */
const MAX_ROWS = 2_000;

/** Meterbase's, its messages spread over the webhooks of that many tenants. */
export async function meterbase(sql: Sql, url: string, lanes: number): Promise<Outbox> {
  const channelIds = await makeWebhooks(sql, lanes);
  const pool = await connectPool(url, 4);
  return {
    name: `Meterbase, ${lanes.toLocaleString("en-US")} lanes`,
    enqueue: async (messages) => {
      const text = `
        insert into public.alert_notifications (tenant_id, alert_id, channel_id, kind, lane, payload)
        select c.tenant_id, gen_random_uuid(), c.id, 'alert', c.id::text, m.payload
        from rows from (json_to_recordset($2) as (payload jsonb)) with ordinality m (payload, n)
        join public.alert_channels c on c.id = ($1::uuid[])[1 + m.n % cardinality($1)]`;
      await pool.query({ name: "enqueue", text, values: [channelIds, JSON.stringify(messages)] });
    },
    drain: async (messages, workers) => {
      const left = { count: messages };
      await Promise.all(Array.from({ length: workers }, () => drain(pool, left)));
    },
    left: () => count(pool, "select count(*)::int from public.alert_notifications where status <> 'sent'"),
    reset: () => empty(pool, "public.alert_notifications, private.outbox"),
    end: () => pool.end(),
  };
}

/** Claims and completes until none are left. Those of the channel that fails fail again. */
export async function drain(pool: pg.Pool, left: { count: number }, failing?: string): Promise<void> {
  while (left.count > 0) {
    const { rows } = await pool.query<{ id: string; channel_id: string; attempt: number }>({
      name: "claim",
      text: "select * from public.claim_alert_notifications($1)",
      values: [MAX_ROWS],
    });
    if (rows.length === 0) continue; // what is left is with other workers
    const outcomes = rows.map(({ id, attempt, channel_id }) =>
      channel_id === failing ? { id, attempt, ok: false, blocks_channel: true } : { id, attempt, ok: true },
    );
    await pool.query({
      name: "complete",
      text: "select public.complete_alert_notifications($1)",
      values: [JSON.stringify(outcomes)],
    });
    left.count -= outcomes.filter(({ ok }) => ok).length;
  }
}

/** Tenants with a webhook each. */
export async function makeWebhooks(sql: Sql, many: number): Promise<string[]> {
  const channels = await sql<{ id: string }[]>`
    insert into public.alert_channels (tenant_id, type, name, config)
    select (public.create_tenant('Lane ' || i, 'free')).id, 'webhook', 'Bench',
      jsonb_build_object('url', 'https://example.com/hooks/' || i)
    from generate_series(1, ${many}::int) i
    returning id`;
  return channels.map(({ id }) => id);
}

/** An alert that was opened, as the outbox holds it for a webhook. */
export const PAYLOAD = {
  event: "opened",
  alert: {
    id: "5b0b7c1e-3f43-4f2c-9d53-6d1f0f5f5a11",
    tenant_id: "9f0c3a52-51b7-4a0e-8a35-7a3f6a1f2b22",
    tenant_name: "Bench",
    rule_id: "c2a1d9f7-7d39-4b7c-b0cf-1f2e3d4c5b33",
    rule_name: "Much of a quota is used",
    type: "usage_threshold",
    severity: "medium",
    title: "80 % of the day's tokens are used",
    message: "8,012 of the day's 10,000 tokens are used.",
    data: { metric: "tokens", period: "day", used: 8012, limit_value: 10_000, percentage: 80.12 },
    action_required: false,
    status: "open",
    dedup_key: "c2a1d9f7-7d39-4b7c-b0cf-1f2e3d4c5b33:tokens:day:2026-11-28",
    occurrences: 1,
    opened_at: "2026-11-28T12:00:00+00:00",
    acknowledged_at: null,
    resolved_at: null,
    resolution_note: null,
  },
};
