import type { Sql } from "postgres";
import type { Database } from "./billing.ts";
import { connectPool, ingestAll, makeTenants, process, Shop, type Signed, sign } from "./billing_events.ts";
import { type Comparison, compare, type Variant } from "./compare.ts";

const TENANTS = 20;
const EVENTS_OF_TENANT = 12;
const DEBITS = 500;
const READS = 2_000;

/** A database, and how many events it is to hold. */
export interface Inbox extends Database {
  events: number;
}

/** What an event, a debit and a past balance cost with little and with much stored. */
export async function benchGrowth(few: Inbox, many: Inbox): Promise<Comparison[]> {
  for (const inbox of [few, many]) await fillInbox(inbox);
  await few.sql`checkpoint`; // of the whole cluster: what was written before is not written while events are measured
  const pools = await Promise.all([few, many].map(({ url }) => connectPool(url, 1)));
  const rounds = [few, many].map((inbox, i): Variant => {
    let signed: Signed[] = [];
    return {
      name: `${inbox.events.toLocaleString("en-US")} events stored`,
      operations: TENANTS * EVENTS_OF_TENANT,
      prepare: async () => {
        signed = await newEvents(inbox.sql);
      },
      run: async () => {
        for (const one of signed) await process(pools[i] as (typeof pools)[number], one);
      },
    };
  });
  const comparisons = [await compare("ingest_stripe_event, 1 connection", "events", rounds)];
  await Promise.all(pools.map((pool) => pool.end()));
  return [...comparisons, ...(await benchLedgers(few.sql))];
}

/** The events of new tenants, who buy and upgrade. */
async function newEvents(sql: Sql): Promise<Signed[]> {
  const shop = lifecycles(await makeTenants(sql, TENANTS));
  const signed: Signed[] = [];
  for (const event of shop.take()) signed.push(await sign(event));
  return signed;
}

function lifecycles(tenantIds: string[]): Shop {
  let at = Date.now() - 300_000;
  const shop = new Shop(() => new Date(at));
  for (const tenantId of tenantIds) {
    at += 1000;
    const subscription = shop.subscribe(tenantId);
    at += 1000;
    shop.upgrade(subscription);
  }
  return shop;
}

/**
 * Copies of what tenants leave behind, as many as make that many events: tenants, their events and objects, subscriptions,
 * invoices, payments and credits.
 */
async function fillInbox({ sql, events }: Inbox): Promise<void> {
  console.error(`writing ${events.toLocaleString("en-US")} events …`);
  const models = await makeTenants(sql, 10);
  await ingestAll(sql, lifecycles(models).take());
  const copies = events / models.length / EVENTS_OF_TENANT - 1;
  await sql.begin(async (t) => {
    await t`set local session_replication_role = replica`; // no triggers: the copies need none
    await t`
      create temporary table copies on commit drop as
      select m.id as model_id, gen_random_uuid() as id, '_' || n as suffix
      from unnest(${models}::uuid[]) m (id), generate_series(1, ${Math.round(copies)}::int) n`;
    await t`
      insert into public.tenants
      select n.*
      from public.tenants t
      join copies c on c.model_id = t.id
      cross join lateral jsonb_populate_record(t, jsonb_build_object(
        'id', c.id, 'slug', t.slug || replace(c.suffix, '_', '-'), 'stripe_customer_id', t.stripe_customer_id || c.suffix
      )) n`;
    for (const [table, ...ids] of TABLES) {
      const changed = ids.map((id) => `, '${id}', r.${id} || c.suffix`).join("");
      await t.unsafe(`
        insert into ${table}
        select n.*
        from ${table} r
        join copies c on c.model_id = r.tenant_id
        cross join lateral jsonb_populate_record(r, jsonb_build_object('tenant_id', c.id${changed})) n`);
    }
    await t`
      insert into private.stripe_objects
      select o.object_id || c.suffix, o.event_id || c.suffix, o.is_final, o.occurred_at
      from private.stripe_objects o
      join (select distinct object_id, tenant_id from public.stripe_events where tenant_id = any (${models})) e using (object_id)
      join copies c on c.model_id = e.tenant_id`;
  });
  await sql`vacuum analyze`;
  const [stored] = await sql`
    select count(*)::int as count from public.stripe_events where status = 'processed' and object_id is not null`;
  if (Math.abs(stored?.count / events - 1) > 0.02) throw new Error(`${stored?.count} events are stored`);
}

/** Tables of a tenant, and which of their columns are ids. */
const TABLES = [
  ["public.stripe_events", "id", "object_id"],
  ["public.subscriptions", "stripe_subscription_id", "stripe_customer_id", "stripe_item_id"],
  ["public.invoices", "stripe_invoice_id", "stripe_subscription_id"],
  ["public.payments", "stripe_invoice_id", "stripe_payment_id"],
  ["private.credit_months", "stripe_line_id", "stripe_subscription_id"],
  ["private.credit_accounts"],
] as const;

/** Debits and past balances of a tenant with a short ledger beside one with a long one. */
async function benchLedgers(sql: Sql): Promise<Comparison[]> {
  const lengths = [200, 200_000];
  const tenants: { name: string; id: string }[] = [];
  for (const length of lengths) {
    const [id] = (await makeTenants(sql, 1)) as [string];
    tenants.push({ name: `a ledger of ${length.toLocaleString("en-US")} entries`, id });
    await writeLedger(sql, id, length);
  }
  await sql`vacuum analyze public.credit_ledger, private.credit_accounts, private.credit_grants`;
  const both = (operations: number, call: (tenantId: string) => Promise<unknown>): Variant[] =>
    tenants.map(({ name, id }) => ({
      name,
      operations,
      run: async () => {
        for (let i = 0; i < operations; i++) await call(id);
      },
    }));
  const debit = async (tenantId: string) => {
    const [answer] = await sql`select allowed from public.debit_credits(${tenantId}, 1, 'bench')`;
    if (!answer?.allowed) throw new Error("a debit was refused");
  };
  const pastBalance = async (tenantId: string) => {
    const [answer] =
      await sql`select public.get_credit_balance(${tenantId}, now() - interval '10 days') > 0 as is_positive`;
    if (!answer?.is_positive) throw new Error("there was no balance");
  };
  return [
    await compare("debit_credits", "debits", both(DEBITS, debit), 7),
    await compare("get_credit_balance as of 10 days ago", "reads", both(READS, pastBalance), 7),
  ];
}

/** A grant, and since then debits of 1 over 30 days, as debit_credits leaves them behind. */
async function writeLedger(sql: Sql, tenantId: string, entries: number): Promise<void> {
  const granted = 1_000_000_000;
  await sql`select public.grant_credits(${tenantId}, ${granted}, 'bench')`;
  const debits = entries - 1;
  await sql`
    update public.credit_ledger set effective_at = now() - interval '30 days' where tenant_id = ${tenantId}`;
  await sql`
    insert into public.credit_ledger (tenant_id, kind, amount, balance, grants, reason, effective_at)
    select g.tenant_id, 'debit', -1, ${granted}::bigint - n, jsonb_build_object(g.id, -1), 'bench',
      now() - interval '30 days' * (1 - n / ${debits + 1}::float8)
    from private.credit_grants g, generate_series(1, ${debits}::int) n
    where g.tenant_id = ${tenantId}
    order by n`;
  await sql`update private.credit_grants set remaining = remaining - ${debits} where tenant_id = ${tenantId}`;
  await sql`update private.credit_accounts set balance = balance - ${debits} where tenant_id = ${tenantId}`;
}
