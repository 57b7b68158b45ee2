import type pg from "pg";
import type { Sql } from "postgres";
import type { Database } from "./billing.ts";
import { connectPool } from "./billing_events.ts";
import { type Comparison, compare, type Variant } from "./compare.ts";
import { drain, makeWebhooks, PAYLOAD } from "./outbox_meterbase.ts";

const DUE = 10_000;
const LANES = 1_000;
const SENT = 1_000_000;
const STUCK = 100_000;

/** What claiming and completing cost with little and with much stored. */
export async function benchOutboxGrowth(little: Database, much: Database): Promise<Comparison[]> {
  const pools = await Promise.all([connectPool(little.url, 1), connectPool(much.url, 1)]);
  const variants = [
    await due(little, pools[0], "nothing else stored", async () => undefined),
    await due(
      much,
      pools[1],
      `${SENT.toLocaleString("en-US")} sent, ${STUCK.toLocaleString("en-US")} behind a webhook that fails`,
      writePast,
    ),
  ];
  await little.sql`checkpoint`; // of the whole cluster: what was written before is not written while this is measured
  const comparison = await compare("claim and complete", "messages", variants, 7);
  await Promise.all(pools.map((pool) => pool.end()));
  return [comparison];
}

async function due(
  { sql }: Database,
  pool: pg.Pool,
  name: string,
  fill: (sql: Sql, channelIds: string[]) => Promise<string | undefined>,
): Promise<Variant> {
  const channelIds = await makeWebhooks(sql, LANES);
  const failing = await fill(sql, channelIds);
  return {
    name,
    operations: DUE,
    prepare: async () => {
      await sql`
        insert into public.alert_notifications (tenant_id, alert_id, channel_id, kind, lane, payload)
        select c.tenant_id, gen_random_uuid(), c.id, 'alert', c.id::text, ${sql.json(PAYLOAD)}
        from generate_series(1, ${DUE / LANES}::int), public.alert_channels c
        where c.id = any (${channelIds})`;
    },
    run: () => drain(pool, { count: DUE }, failing),
  };
}

/** Sent messages of all, and messages that are due of one that has failed: of that webhook the id. */
async function writePast(sql: Sql, channelIds: string[]): Promise<string> {
  console.error(`writing ${(SENT + STUCK).toLocaleString("en-US")} messages …`);
  const [failing] = (await makeWebhooks(sql, 1)) as [string];
  await sql`
    insert into public.alert_notifications (tenant_id, alert_id, channel_id, kind, lane, payload)
    select c.tenant_id, gen_random_uuid(), c.id, 'alert', c.id::text, ${sql.json(PAYLOAD)}
    from public.alert_channels c where c.id = ${failing}`;
  const [failed] = await sql`
    select public.complete_alert_notification(c.id, false, 'timed out', blocks_channel => true) as count
    from public.claim_alert_notifications() c`;
  if (failed?.count !== 1) throw new Error("the webhook did not fail");
  await sql.begin(async (t) => {
    await t`set local session_replication_role = replica`; // no triggers: what is stored here needs none
    await t`
      insert into public.alert_notifications (
        tenant_id, alert_id, channel_id, kind, lane, payload, status, attempts, created_at, sent_at
      )
      select c.tenant_id, gen_random_uuid(), c.id, 'alert', c.id::text, ${sql.json(PAYLOAD)}, 'sent', 1,
        now() - n * interval '2 s', now() - n * interval '2 s'
      from generate_series(1, ${SENT}::int) n
      join public.alert_channels c on c.id = (${channelIds}::uuid[])[1 + n % ${LANES}]`;
    await t`
      insert into public.alert_notifications (
        tenant_id, alert_id, channel_id, kind, lane, payload, status, attempts, next_attempt_at, last_error, created_at
      )
      select c.tenant_id, gen_random_uuid(), c.id, 'alert', c.id::text, ${sql.json(PAYLOAD)}, 'failed', 1,
        now() - n * interval '10 ms', 'timed out', now() - interval '1 hour'
      from generate_series(1, ${STUCK}::int) n, public.alert_channels c where c.id = ${failing}`;
  });
  await sql`vacuum analyze`;
  return failing;
}
