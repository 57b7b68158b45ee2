import type { Sql } from "postgres";
import { type Comparison, compare } from "./compare.ts";

const CALLS = 6_400;

/** What all share beside what each has for itself: a busy key, and the audit of a busy tenant. */
export async function benchAccess(connections: Sql[]): Promise<Comparison[]> {
  const [sql] = connections as [Sql];
  const tenants: string[] = [];
  const hashes: string[] = [];
  for (const _ of connections) {
    const [tenant] = await sql`select id from public.create_tenant('Bench', 'enterprise')`;
    const [key] = await sql`
      select encode(sha256(convert_to(secret, 'UTF8')), 'hex') as hash
      from public.create_api_key(${tenant?.id}, 'bench', 'editor')`;
    tenants.push(tenant?.id);
    hashes.push(key?.hash);
  }
  await sql`create table counted_keys (hash text primary key, uses bigint not null)`;
  await sql`insert into counted_keys select unnest(${hashes}::text[]), 0`;
  await sql`create table chain_heads (tenant_id uuid primary key, hash bytea not null)`;
  await sql`insert into chain_heads select unnest(${tenants}::uuid[]), ''`;
  // As the data API says which function a request is for.
  for (const c of connections) await c`select set_config('request.path', '/rpc/authenticate_api_key', false)`;

  const variant = (name: string, call: (c: Sql, i: number) => Promise<unknown>) => ({
    name,
    operations: CALLS,
    run: async () => {
      await Promise.all(
        connections.map(async (c, i) => {
          for (let n = 0; n < CALLS / connections.length; n++) await call(c, i);
        }),
      );
    },
  });
  const authenticate = (c: Sql, hash = "") => c`select * from public.authenticate_api_key(${hash})`;
  const log = (c: Sql, tenantId = "") => c`select public.log_audit_event(${tenantId}, 'bench')`;
  return [
    await compare(`${connections.length} connections with API keys`, "calls", [
      variant("each with a key of its own", (c, i) => authenticate(c, hashes[i])),
      variant("all with one key", (c) => authenticate(c, hashes[0])),
      variant(
        "a count in the row of the one key, for comparison",
        (c) => c`update counted_keys set uses = uses + 1 where hash = ${hashes[0] ?? ""}`,
      ),
    ]),
    await compare(`${connections.length} connections writing audit events`, "events", [
      variant("each of a tenant of its own", (c, i) => log(c, tenants[i])),
      variant("all of one tenant", (c) => log(c, tenants[0])),
      variant("chained as they are written, for comparison", (c) =>
        c.begin(async (t) => {
          await t`update chain_heads set hash = sha256(hash || 'x') where tenant_id = ${tenants[0] ?? ""}`;
          await t`select public.log_audit_event(${tenants[0] ?? ""}, 'bench')`;
        }),
      ),
    ]),
  ];
}
