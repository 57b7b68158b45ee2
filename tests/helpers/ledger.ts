import { randomUUID } from "node:crypto";
import type { Sql } from "postgres";

export interface QuotaRow {
  allowed: boolean;
  metric: string;
  limit_value: string | null;
  used: string;
  resets_at: Date | null;
  reason: string | null;
  decision_id: string | null;
  reservation_id?: string | null;
}

/** An array as Postgres writes it, of plain words. */
export const arrayOf = (items: readonly (string | number)[]) => `{${items.join(",")}}`;

/** What happened, as the ledger counts it. */
export interface Totals {
  amount: number;
  grants: number;
  denials: number;
}

/**
 * Quota is taken and given back through it, and what that came to is noted in a table by the same statement: what the
 * database has granted is known exactly there, even where nobody heard the answer.
 */
export class Ledger {
  constructor(
    readonly schema: string,
    readonly tenantId: string,
  ) {}

  static async create(sql: Sql, tenantId: string): Promise<Ledger> {
    const schema = `ledger_${randomUUID().replaceAll("-", "")}`;
    await sql.unsafe(`
      create schema ${schema};
      create table ${schema}.entries (
        key text primary key default gen_random_uuid(),
        tenant_id uuid not null,
        metric text not null,
        subject text not null,
        amount bigint not null,
        grants int not null default 0,
        denials int not null default 0,
        used bigint
      )`);
    return new Ledger(schema, tenantId);
  }

  drop(sql: Sql): Promise<unknown> {
    return sql.unsafe(`drop schema ${this.schema} cascade`).simple();
  }

  /** With a key it can be repeated: the first grant alone is noted. */
  async consume(sql: Sql, metric: string, amount: number, subject: string, key?: string): Promise<QuotaRow> {
    const [answer] = await this.#note(
      sql,
      sql`select a.*, ${this.tenantId}::uuid as asked_of, ${amount}::bigint as amount, ${subject} as subject, ${key ?? null}::text as key
          from public.consume_quota(${this.tenantId}, ${metric}, ${amount}, ${subject}, ${key ?? null}) a`,
    );
    return answer as QuotaRow;
  }

  consumeBatch(
    sql: Sql,
    metric: string,
    amounts: number[],
    subject: string,
    keys?: string[],
  ): Promise<QuotaRow[]> {
    const [asked, named] = [arrayOf(amounts), keys ? arrayOf(keys) : null];
    return this.#note(
      sql,
      sql`select a.*, ${this.tenantId}::uuid as asked_of, (${asked}::bigint[])[a.ordinality] as amount, ${subject} as subject,
            (${named}::text[])[a.ordinality] as key
          from public.consume_quota_batch(${this.tenantId}, ${metric}, ${asked}::bigint[], ${subject}, ${named}::text[])
            with ordinality a`,
    );
  }

  consumeTogether(
    sql: Sql,
    items: { metric: string; amount: number; subject: string; idempotency_key?: string }[],
  ): Promise<QuotaRow[]> {
    const json = sql.json(items);
    return this.#note(
      sql,
      sql`select a.*, ${this.tenantId}::uuid as asked_of, (i ->> 'amount')::bigint as amount, i ->> 'subject' as subject, i ->> 'idempotency_key' as key
          from public.consume_quotas(${this.tenantId}, ${json}) with ordinality a
          cross join lateral (select ${json}::jsonb -> (a.ordinality - 1)::int) x (i)`,
    );
  }

  /** Of several tenants: all at once. */
  consumeBatches(
    sql: Sql,
    batches: { tenant_id: string; metric: string; subject: string; amounts: number[] }[],
  ): Promise<QuotaRow[]> {
    const json = sql.json(batches);
    return this.#note(
      sql,
      sql`select a.*, (b.batch ->> 'tenant_id')::uuid as asked_of, b.amount, b.batch ->> 'subject' as subject,
            null::text as key
          from public.consume_quota_batches(${json}) with ordinality a
          join (
            select b.batch, m.amount::bigint, row_number() over (order by b.ordinal, m.ordinal) as ordinality
            from jsonb_array_elements(${json}::jsonb) with ordinality b (batch, ordinal)
            cross join lateral jsonb_array_elements_text(b.batch -> 'amounts') with ordinality m (amount, ordinal)
          ) b using (ordinality)`,
    );
  }

  /** The same ledger, for another tenant. */
  of(tenantId: string): Ledger {
    return new Ledger(this.schema, tenantId);
  }

  async reserve(sql: Sql, metric: string, amount: number, subject: string, key?: string): Promise<QuotaRow> {
    const [answer] = await this.#note(
      sql,
      sql`select a.*, ${this.tenantId}::uuid as asked_of, ${amount}::bigint as amount, ${subject} as subject, ${key ?? null}::text as key
          from public.reserve_quota(${this.tenantId}, ${metric}, ${amount}, ${subject}, 3600, ${key ?? null}) a`,
    );
    return answer as QuotaRow;
  }

  async extend(sql: Sql, id: string, amount: number, subject: string): Promise<QuotaRow> {
    const [answer] = await this.#note(
      sql,
      sql`select a.*, ${this.tenantId}::uuid as asked_of, ${amount}::bigint as amount, ${subject} as subject, null::text as key
          from public.extend_reservation(${id}, ${amount}) a`,
    );
    return answer as QuotaRow;
  }

  /** Ends a reservation of `held` with what was really used, by default nothing. */
  async end(sql: Sql, id: string, held: number, actual: number, subject: string): Promise<void> {
    const ended =
      actual === 0
        ? sql`public.release_reservation(${id})`
        : sql`public.settle_reservation(${id}, ${actual})`;
    await sql`
      with answer as materialized (select * from ${ended})
      insert into ${sql(this.schema)}.entries (tenant_id, metric, subject, amount)
      select ${this.tenantId}, metric, ${subject}, ${actual - held} from answer`;
  }

  /** Settles several at once, of whichever tenants. */
  async endTogether(
    sql: Sql,
    settlements: { id: string; tenant_id: string; subject: string; held: number; actual: number }[],
  ): Promise<void> {
    const told = settlements.map(({ id, actual }) => ({ reservation_id: id, actual_amount: actual }));
    await sql`
      with answer as materialized (select * from public.settle_reservations(${sql.json(told)}))
      insert into ${sql(this.schema)}.entries (tenant_id, metric, subject, amount)
      select s.tenant_id, a.metric, s.subject, s.actual - s.held
      from answer a
      join jsonb_to_recordset(${sql.json(settlements)}) s (id uuid, tenant_id uuid, subject text, held int, actual int)
        on s.id = a.reservation_id`;
  }

  async totals(sql: Sql, metric: string, subject?: string): Promise<Totals> {
    const [row] = await sql<[Totals]>`
      select coalesce(sum(amount), 0)::float as amount, coalesce(sum(grants), 0)::int as grants,
        coalesce(sum(denials), 0)::int as denials
      from ${sql(this.schema)}.entries
      where tenant_id = ${this.tenantId} and metric = ${metric} and (${subject ?? null}::text is null or subject = ${subject ?? null})`;
    return row;
  }

  async #note(sql: Sql, answers: ReturnType<Sql>): Promise<QuotaRow[]> {
    const rows = await sql`
      with answer as materialized (${answers}),
      noted as (
        insert into ${sql(this.schema)}.entries (key, tenant_id, metric, subject, amount, grants, denials, used)
        select
          coalesce(case when allowed then key end, gen_random_uuid()::text), asked_of, metric, subject,
          case when allowed then amount else 0 end, allowed::int,
          (not allowed and reason <> 'denied_together')::int, used
        from answer
        on conflict (key) do nothing
      )
      select * from answer`;
    return rows as unknown as QuotaRow[];
  }
}

/** What a counter of a tenant holds. */
export async function usedOf(sql: Sql, tenantId: string, metric: string, subject = ""): Promise<number> {
  const [row] = await sql`
    select coalesce(sum(used), 0)::float as used from private.quota_counters
    where tenant_id = ${tenantId} and metric = ${metric} and period = 'none' and subject = ${subject}`;
  return row?.used;
}

/** A tenant whose plan limits neither tokens nor embeddings, with limits that never roll over. */
export async function tenantWithLimits(
  sql: Sql,
  limits: { metric: string; limit: number; per?: "tenant" | "subject"; period?: string }[],
): Promise<string> {
  const [tenant] = await sql`select id from public.create_tenant(${`Tenant ${randomUUID()}`}, 'free')`;
  for (const { metric, limit, per = "tenant", period = "none" } of limits) {
    await sql`
      insert into public.tenant_limits (tenant_id, metric, period, per, limit_value)
      values (${tenant?.id}, ${metric}, ${period}, ${per}, ${Math.floor(limit)})`;
  }
  return tenant?.id;
}
