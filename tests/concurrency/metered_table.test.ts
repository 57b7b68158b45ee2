import { randomUUID } from "node:crypto";
import type { SupabaseClient } from "@supabase/supabase-js";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createApi } from "../../scripts/stack/api.ts";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { startServer } from "../../scripts/stack/server.ts";
import { PUBLISHABLE_KEY } from "../../scripts/stack/settings.ts";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import { scaled } from "../helpers/scale.ts";

// A database of its own: the tables have to be there before the API starts.
let database: Database;
let control: Sql;
let url: string;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await startDatabase();
  stops.push(database.stop);
  control = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  stops.push(() => control.end());
  await control.unsafe(`
    create table public.documents (
      id text primary key,
      tenant_id uuid not null references public.tenants (id),
      title text not null default ''
    );
    alter table public.documents enable row level security;
    revoke all on public.documents from anon, authenticated, service_role;
    grant select, insert, update, delete on public.documents to authenticated;
    create policy members_read on public.documents for select to authenticated
      using (private.has_permission(tenant_id, 'usage:read'));
    create policy members_insert on public.documents for insert to authenticated
      with check (private.has_permission(tenant_id, 'usage:write') and meter.admits(documents));
    select meter.attach('public.documents', 'executions');

    create table public.notes (body text, tenant_id uuid not null)`);
  const server = await startServer((request) => api.fetch(request));
  const api = createApi({ databaseUrl: database.databaseUrl, siteUrl: server.url, smtpPort: 9 });
  stops.push(api.stop, server.stop);
  url = server.url;
});
afterAll(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** A tenant with this many executions. */
async function tenantWith(credits: number): Promise<string> {
  const [tenant] = await control`select id from public.create_tenant(${`Tenant ${randomUUID()}`}, 'free')`;
  await control`select public.set_custom_quota(${tenant?.id}, 'executions', ${credits}, 'none')`;
  await control`select public.set_custom_quota(${tenant?.id}, 'executions', null)`;
  return tenant?.id;
}

/** Somebody who has signed up, in a tenant with this many executions. */
async function memberWith(credits: number): Promise<{ client: SupabaseClient; tenantId: string }> {
  const client = supabaseClient(url, PUBLISHABLE_KEY) as unknown as SupabaseClient;
  const { data, error } = await client.auth.signUp({
    email: `${randomUUID()}@example.com`,
    password: "correct horse battery staple",
  });
  expect(error).toBeNull();
  const tenantId = await tenantWith(credits);
  await control`
    insert into public.memberships (tenant_id, user_id, role) values (${tenantId}, ${data.user?.id as string}, 'editor')`;
  return { client, tenantId };
}

async function state(tenantId: string) {
  const [row] = await control`
    select
      (select count(*)::int from public.documents where tenant_id = ${tenantId}) as rows,
      (select count(*)::int from public.tenant_usage_realtime where tenant_id = ${tenantId}) as events,
      (select coalesce(sum(quantity), 0)::int from public.tenant_usage_realtime where tenant_id = ${tenantId}) as quantity,
      (select coalesce(max(used), 0)::int from private.quota_counters
        where tenant_id = ${tenantId} and metric = 'executions' and period = 'none') as used`;
  return row;
}
const holding = (count: number) => ({ rows: count, events: count, quantity: count, used: count });
const rows = (tenantId: string, count: number) =>
  Array.from({ length: count }, () => ({ id: randomUUID() as string, tenant_id: tenantId }));

test("48 connections that race for the last credits get as many rows, events and debits as there were", async () => {
  const credits = scaled(200, 1_000);
  const tenantId = await tenantWith(credits);
  const outcomes: string[] = [];
  let left = credits + 96;
  await Promise.all(
    Array.from({ length: 48 }, async () => {
      const sql = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
      while (left-- > 0) {
        outcomes.push(
          await sql`insert into public.documents ${sql(rows(tenantId, 1))}`.then(
            () => "inserted",
            (error) => `${error.code} ${error.hint}`,
          ),
        );
      }
      await sql.end();
    }),
  );
  expect(outcomes.filter((outcome) => outcome === "inserted")).toHaveLength(credits);
  expect(new Set(outcomes)).toEqual(new Set(["inserted", "PT429 quota_exceeded"]));
  expect(await state(tenantId)).toEqual(holding(credits));
});

test("statements of several rows that race leave no part of one behind", async () => {
  const tenantId = await tenantWith(scaled(100, 1_000));
  const sizes = [2, 3, 5];
  let inserted = 0;
  let left = scaled(80, 800);
  await Promise.all(
    Array.from({ length: 24 }, async (_, client) => {
      const size = sizes[client % 3] as number;
      const sql = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
      while (left-- > 0) {
        const outcome = await sql`insert into public.documents ${sql(rows(tenantId, size))}`.then(
          () => "inserted",
          (error) => error.code,
        );
        if (outcome === "inserted") inserted += size;
        else expect(outcome).toBe("PT429");
      }
      await sql.end();
    }),
  );
  expect(inserted).toBeGreaterThan(scaled(95, 995));
  expect(await state(tenantId)).toEqual(holding(inserted));
});

test("5 rows against 3 credits leave nothing, and what else was done with them goes as well", async () => {
  const tenantId = await tenantWith(3);
  const insert = control.begin(async (transaction) => {
    await transaction`insert into public.documents ${transaction(rows(tenantId, 2))}`;
    await transaction`insert into public.documents ${transaction(rows(tenantId, 5))}`;
  });
  await expect(insert).rejects.toMatchObject({ code: "PT429", hint: "quota_exceeded" });
  await expect(control`insert into public.documents ${control(rows(tenantId, 5))}`).rejects.toMatchObject({
    code: "PT429",
  });
  expect(await state(tenantId)).toEqual(holding(0));
  await control`insert into public.documents ${control(rows(tenantId, 3))}`;
  expect(await state(tenantId)).toEqual(holding(3));
});

test("a table without a primary key can be metered", async () => {
  await control`select meter.attach('public.notes', 'analysis_runs')`;
  const tenantId = await tenantWith(1);
  await control`insert into public.notes values ('one', ${tenantId}), ('two', ${tenantId})`;
  expect((await state(tenantId))?.events).toBe(2);
});

describe("over the API", () => {
  test("an insert beyond the quota is answered with 429 and the receipt, and leaves nothing", async () => {
    const { client, tenantId } = await memberWith(3);
    const { error, status } = await client.from("documents").insert(rows(tenantId, 5));
    expect(status).toBe(429);
    expect(error).toMatchObject({ code: "PT429", hint: "quota_exceeded" });
    expect(JSON.parse(error?.details ?? "")).toMatchObject({
      metric: "executions",
      allowed: false,
      limit_value: 3,
      used: 0,
      amount: 5,
      explanation: expect.stringContaining("5 of executions was asked for when 0 of 3 was used"),
    });
    expect(await state(tenantId)).toEqual(holding(0));
    expect((await client.from("documents").insert(rows(tenantId, 3))).status).toBe(201);
    expect(await state(tenantId)).toEqual(holding(3));
    // Here the policy refuses, before there is a row.
    const refused = await client.from("documents").insert(rows(tenantId, 1));
    expect(refused).toMatchObject({ status: 429, error: { hint: "quota_exceeded" } });
    expect(JSON.parse(refused.error?.details ?? "")).toMatchObject({ used: 3, amount: 1 });
  });

  test("clients that race get as many rows as there were credits", async () => {
    const credits = scaled(50, 200);
    const { client, tenantId } = await memberWith(credits);
    const answers: { status: number }[] = [];
    let left = credits + 20;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        while (left-- > 0) answers.push(await client.from("documents").insert(rows(tenantId, 1)));
      }),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(credits);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(answers.length - credits);
    expect(await state(tenantId)).toEqual(holding(credits));
  });

  test("an upsert that ignores duplicates is not denied for known keys when nothing is left", async () => {
    const { client, tenantId } = await memberWith(2);
    const known = rows(tenantId, 2);
    const upsert = (some: object[]) => client.from("documents").upsert(some, { ignoreDuplicates: true });
    expect((await upsert(known)).error).toBeNull();
    expect((await upsert(known)).error).toBeNull();
    expect(await state(tenantId)).toEqual(holding(2));
    expect((await upsert([...known, ...rows(tenantId, 1)])).status).toBe(429);
    expect(await state(tenantId)).toEqual(holding(2));
  });

  test("a stranger inserts nothing and hears nothing of the quota", async () => {
    const [{ tenantId }, stranger] = [await memberWith(0), await memberWith(5)];
    const { error, status } = await stranger.client.from("documents").insert(rows(tenantId, 1));
    expect(status).toBe(403);
    expect(error?.code).toBe("42501");
    expect(error?.details ?? "").not.toContain("limit");
    expect(await state(tenantId)).toEqual(holding(0));
  });
});
