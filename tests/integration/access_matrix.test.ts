import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createApi } from "../../scripts/stack/api.ts";
import { startDatabase } from "../../scripts/stack/database.ts";
import { projectRoot } from "../../scripts/stack/migrate.ts";
import { startServer } from "../../scripts/stack/server.ts";
import { PUBLISHABLE_KEY, SECRET_KEY } from "../../scripts/stack/settings.ts";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import { event, ingest, invoice, subscription } from "../helpers/stripe_events.ts";
import { apiKeyClaims, clientWith, signToken } from "../helpers/tokens.ts";

/** A table or view of `public`, and which of its rows are acme's; of what is not about tenants, all. */
interface Subject {
  name: string;
  columns: string[];
  /** Those that are no identity, which nobody writes. */
  writable: string[];
  /** Those that each role may insert. */
  insertable: Record<string, string[]>;
  /** A column that tells acme's rows from others; null where all are meant. */
  key: string | null;
  /** How many they are, and one of them. */
  total: number;
  sample: Record<string, unknown>;
}

interface Actor {
  name: string;
  role: "anon" | "authenticated" | "service_role";
  id: string | null;
  client: SupabaseClient;
}

const ROLES = ["viewer", "editor", "admin", "owner"];
const matrix = readMatrix();
const actors: Actor[] = [];
const subjects = new Map<string, Subject>();

// A database of its own, as everything in it is to be deleted.
const database = await startDatabase();
const sql = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
vi.spyOn(console, "error").mockImplementation(() => {}); // the API logs each refusal
const api = createApi({ databaseUrl: database.databaseUrl, siteUrl: "http://127.0.0.1", smtpPort: 1 });
const server = await startServer(api.fetch);

afterAll(async () => {
  await server.stop();
  await api.stop();
  await sql.end();
  await database.stop();
});

beforeAll(async () => {
  const tenantId = await signEverybodyUp();
  await describeSubjects(tenantId);
  await undoEverything();
});

test("has a line for each table and view, and a column for each actor", () => {
  expect([...subjects.keys()].sort()).toEqual([...matrix.keys()].sort());
  for (const cells of matrix.values()) {
    expect(Object.keys(cells).sort()).toEqual(actors.map(({ name }) => name).sort());
  }
});

test.each([...matrix.keys()])("of %s, everybody may do what it says and nothing else", async (name) => {
  const subject = subjects.get(name);
  if (!subject) throw new Error(`There is no ${name}.`);
  expect(subject.total, "rows that are acme's").toBeGreaterThan(0);
  const cells = actors.map(async (actor) => [actor.name, await cell(subject, actor)]);
  expect(Object.fromEntries(await Promise.all(cells))).toEqual(matrix.get(name));
});

function readMatrix(): Map<string, Record<string, string>> {
  const [header = [], , ...lines] = readFileSync(join(projectRoot, "tests/fixtures/access_matrix.md"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").map((text) => text.trim()));
  return new Map(
    lines.map((cells) => [
      cells[1] ?? "",
      Object.fromEntries(header.slice(2, -1).map((actor, i) => [actor, cells[i + 2] ?? ""])),
    ]),
  );
}

/** What an actor may do with acme's rows, as the matrix writes it. */
async function cell(subject: Subject, { client, role, id }: Actor): Promise<string> {
  const { name, columns, key, sample } = subject;
  const anyColumn = columns[0] ?? "";
  const table = () => client.from(name);
  let letters = "";

  const read = table().select("*");
  const seen = await touched(key ? read.eq(key, sample[key]) : read);
  if (seen) letters += seen < subject.total ? "o" : "s";
  if (seen === null) {
    for (const column of columns) if (await touched(table().select(column).limit(1))) letters = "c";
  }

  const rows = [sample, ...("user_id" in sample && id ? [{ ...sample, user_id: id }] : [])];
  for (const row of rows)
    for (const names of [subject.writable, subject.insertable[role] ?? []]) {
      if (letters.includes("i") || names.length === 0) continue;
      const inserted = Object.fromEntries(names.map((column) => [column, row[column as keyof typeof row]]));
      if (await touched(table().insert(inserted))) letters += "i";
    }

  const which = key ?? anyColumn;
  for (const column of subject.writable) {
    if (letters.includes("u")) break;
    const updated = table().update({ [column]: sample[column] });
    if (await touched(updated.eq(which, sample[which]))) letters += "u";
  }

  if (await touched(table().delete().eq(which, sample[which]))) letters += "d";
  return letters || "-";
}

/**
 * How many rows a request reads, or whether it would have changed one; null where it is forbidden. What only a constraint
 * or a trigger ends was allowed.
 */
async function touched(
  request: PromiseLike<{
    data: unknown;
    error: { code: string; message: string } | null;
    status: number;
  }>,
): Promise<number | null> {
  const { data, error, status } = await request;
  if (!error) return Array.isArray(data) ? data.length : 0;
  if (error.code === "42501") {
    expect([401, 403]).toContain(status);
    return null;
  }
  if (/^cannot (insert into|update|delete from) view/.test(error.message)) return null;
  if (/^(23|PT)/.test(error.code)) return 1;
  throw new Error(`${status} ${error.code}: ${error.message}`);
}

/** Signs everybody up, gives acme something in every table, and returns its id. */
async function signEverybodyUp(): Promise<string> {
  const ids: Record<string, string> = {};
  const add = (name: string, token: string, id: string | null = null) => {
    actors.push({ name, role: "authenticated", id, client: clientWith(server.url, token) });
  };
  for (const name of [...ROLES, "suspended", "stranger", "platform_admin"]) {
    const { data, error } = await supabaseClient(server.url, PUBLISHABLE_KEY).auth.signUp({
      email: `${name}@example.com`,
      password: "correct horse battery staple",
    });
    if (error || !data.session) throw error ?? new Error("no session");
    ids[name] = data.session.user.id;
    add(name, data.session.access_token, data.session.user.id);
  }
  const [acme, globex] = await sql`
    insert into public.tenants (name, slug, plan_id)
    values ('acme', 'acme', 'unlimited'), ('globex', 'globex', 'free') returning id`;
  const tenantId: string = acme?.id;
  const members = [...ROLES.map((role) => [role, role, tenantId]), ["suspended", "owner", tenantId]];
  for (const [name = "", role = "", tenant = ""] of [...members, ["stranger", "owner", globex?.id]]) {
    await sql`insert into public.memberships (tenant_id, user_id, role)
      values (${tenant}, ${ids[name] ?? ""}, ${role}::public.member_role)`;
  }
  for (const name of ["platform_admin", "suspended"]) {
    await sql`insert into public.platform_admins (user_id) values (${ids[name] ?? ""})`;
  }
  for (const role of ROLES) {
    const [key] = await sql`
      select id from create_api_key(${tenantId}, ${role}, ${role}::public.member_role)`;
    add(`${role}_key`, await signToken({ ...apiKeyClaims(key?.id), exp: Date.now() / 1000 + 3600 }));
  }
  for (const role of ["anon", "service_role"] as const) {
    const client = supabaseClient(server.url, role === "anon" ? PUBLISHABLE_KEY : SECRET_KEY);
    actors.push({ name: role, role, id: null, client: client as unknown as SupabaseClient });
  }
  await sql`select suspend_user(${ids.suspended ?? ""}, 'Fraud.')`;
  await sql`select invite_member(${tenantId}, 'new@example.com', 'viewer')`;
  await sql`select record_usage(${tenantId}, '[{"event_id": "a", "event_type": "api_call"}]')`;
  await sql`select aggregate_usage_metrics()`;
  await sql`select set_custom_quota(${tenantId}, 'embeddings', 1)`;
  await sql`select consume_quota(${tenantId}, 'embeddings', 2)`;
  await subscribe(tenantId);
  await sql`select grant_credits(${tenantId}, 1, 'Sorry.')`;
  await sql`insert into public.checkout_sessions (tenant_id, price_id) values (${tenantId}, 'startup_monthly')`;
  await sql`insert into public.alert_channels (tenant_id, type, name) values (${tenantId}, 'console', 'Console')`;
  await sql`
    insert into public.alert_rules (tenant_id, name, type) values (${tenantId}, 'Quota', 'usage_threshold')`;
  await sql`select set_custom_quota(${tenantId}, 'tokens', 10)`;
  await sql`select consume_quota(${tenantId}, 'tokens', 8)`;
  await sql`
    select resolve_audit_event(event_id) from public.audit_events where tenant_id = ${tenantId} limit 1`;
  return tenantId;
}

/** A subscription and a paid invoice, as Stripe tells of them; the plan stays one without limits. */
async function subscribe(tenantId: string): Promise<void> {
  await sql`select set_stripe_price('enterprise_monthly', 'price_enterprise_monthly')`;
  const start = Math.floor(Date.now() / 1000);
  const of = {
    customer: "cus_acme",
    tenantId,
    price: "price_enterprise_monthly",
    start,
    end: start + 86_400,
  };
  const bought = subscription({ ...of, id: "sub_acme", status: "active" }, "2026-10-28.endive");
  const lines = [{ ...of, id: "il_acme", amount: 14_900 }];
  const paid = invoice(
    { ...of, id: "in_acme", subscription: "sub_acme", status: "paid", attempts: 1, created: start, lines },
    "2026-10-28.endive",
  );
  await ingest(sql, event("evt_a", "customer.subscription.created", start, bought));
  await ingest(sql, event("evt_b", "invoice.paid", start, paid));
  await sql`select set_tenant_plan(${tenantId}, 'unlimited')`;
}

async function describeSubjects(tenantId: string): Promise<void> {
  const found = await sql`
    select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns,
      array_agg(a.attname::text order by a.attnum) filter (where a.attidentity <> 'a') as writable,
      (
        select jsonb_object_agg(role, (
          select coalesce(jsonb_agg(i.attname), '[]') from pg_attribute i
          where i.attrelid = c.oid and i.attnum > 0 and not i.attisdropped and i.attidentity <> 'a'
            and has_column_privilege(role, c.oid, i.attnum, 'insert')
        ))
        from unnest(array['anon', 'authenticated', 'service_role']) role
      ) as insertable
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not exists (
        select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
      )
    group by c.oid`;
  for (const { name, columns, writable, insertable } of found) {
    const key = name === "tenants" ? "id" : columns.includes("tenant_id") ? "tenant_id" : null;
    const [row] = await sql`
      select count(*)::int as total, (array_agg(to_jsonb(r)))[1] as sample from public.${sql(name)} r
      where ${key ? sql`${sql(key)} = ${tenantId}` : sql`true`}`;
    subjects.set(name, { name, columns, writable, insertable, key, total: row?.total, sample: row?.sample });
  }
}

/** From here on, no change that a request makes stays: it ends as if a constraint forbade it. */
async function undoEverything(): Promise<void> {
  await sql.unsafe(`
    create schema tests;
    create function tests.undo() returns trigger language plpgsql as $$
    begin
      raise exception using errcode = 'PT409', message = 'Undone.';
    end
    $$`);
  const tables = await sql`
    select oid::regclass::text as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')`;
  for (const { name } of tables) {
    await sql.unsafe(`create trigger undo after insert or update or delete on ${name}
      for each row execute function tests.undo()`);
  }
}
