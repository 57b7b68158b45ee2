import type { Sql } from "postgres";
import { crossRules, RULES, type Watched, writeWatched } from "./alerts_tenants.ts";
import type { Database } from "./billing.ts";
import { type Comparison, compare, type Variant } from "./compare.ts";

const CALLS = 1_000;
const CROSSING = 500;
const OPERATORS = 3;

/** Databases of the same cluster, each of which this part has for itself. */
export type AlertDatabases = Record<
  "few_tenants" | "many_tenants" | "short_past" | "long_past" | "thresholds",
  Database
>;

/** What a pass over the rules costs with few and many tenants, with a short and a long past; and what a threshold costs a take. */
export async function benchAlerts(databases: AlertDatabases): Promise<Comparison[]> {
  const sizes = [
    { ...databases.few_tenants, tenants: 1_000, days: 2 },
    { ...databases.many_tenants, tenants: 10_000, days: 2 },
  ];
  const pasts = [
    { ...databases.short_past, tenants: 1_000, days: 2 },
    { ...databases.long_past, tenants: 1_000, days: 30 },
  ];
  for (const watched of [...sizes, ...pasts]) await writeWatched(watched);
  // Of the whole cluster: what was written before is not written while passes are measured.
  await databases.few_tenants.sql`checkpoint`;

  const tenants = ({ tenants }: Watched) => `${tenants.toLocaleString("en-US")} tenants`;
  const days = ({ days }: Watched) => `${days} days stored`;
  return [
    await compare(
      `evaluate_alert_rules, ${RULES.length} rules a tenant, quiet`,
      "passes",
      sizes.map((watched) => quiet(watched, tenants(watched))),
    ),
    await compare(
      "1 % of the tenants cross each of their rules, and as many no more",
      "passes",
      sizes.map((watched) => crossing(watched, tenants(watched))),
    ),
    await compare(
      "a short and a long past, quiet",
      "passes",
      pasts.map((watched) => quiet(watched, days(watched))),
      7,
    ),
    ...(await benchThresholds(databases.thresholds.sql)),
  ];
}

function quiet({ sql }: Watched, name: string): Variant {
  return { name, operations: 1, run: () => pass(sql, 0, 0) };
}

function crossing(watched: Watched, name: string): Variant {
  const alerts = (watched.tenants / 100) * RULES.length;
  let round = -1;
  return {
    name,
    operations: 1,
    prepare: () => crossRules(watched, ++round),
    run: () => pass(watched.sql, alerts, round === 0 ? 0 : alerts),
  };
}

/** A pass, by which that many of the tenants' alerts open and are resolved; a few more may be the operator's. */
async function pass(sql: Sql, opened: number, resolved: number): Promise<void> {
  const [answer] = await sql`
    select opened between ${opened}::int and ${opened + OPERATORS}::int
      and resolved between ${resolved}::int and ${resolved + OPERATORS}::int as is_right, opened, resolved
    from public.evaluate_alert_rules()`;
  if (!answer?.is_right) throw new Error(`of ${opened} and ${resolved} alerts: ${JSON.stringify(answer)}`);
}

/** Takes of tenants without a rule beside takes of tenants whose rule watches the counter. */
async function benchThresholds(sql: Sql): Promise<Comparison[]> {
  const consume = async (tenantId: string, amount: number) => {
    const [answer] = await sql`select allowed from public.consume_quota(${tenantId}, 'tokens', ${amount})`;
    if (!answer?.allowed) throw new Error("a take was denied");
  };
  const makeTenant = async (threshold: number | undefined, used: number) => {
    const [tenant] = await sql<[{ id: string }]>`select (public.create_tenant('Bench', 'pro')).id`;
    if (threshold !== undefined)
      await sql`
        insert into public.alert_rules (tenant_id, name, type, threshold)
        values (${tenant.id}, 'Bench', 'usage_threshold', ${threshold})`;
    await consume(tenant.id, used);
    return tenant.id;
  };
  const takes = async (name: string, threshold?: number, used = 1): Promise<Variant> => {
    const tenantId = await makeTenant(threshold, used);
    return {
      name,
      operations: CALLS,
      run: async () => {
        for (let i = 0; i < CALLS; i++) await consume(tenantId, 1);
      },
    };
  };
  const crossings = (name: string, threshold?: number): Variant => {
    let tenantIds: string[] = [];
    return {
      name,
      operations: CROSSING,
      prepare: async () => {
        tenantIds = [];
        for (let i = 0; i < CROSSING; i++) tenantIds.push(await makeTenant(threshold, 1));
      },
      run: async () => {
        for (const tenantId of tenantIds) await consume(tenantId, 400_000);
      },
    };
  };
  return [
    await compare(
      "consume_quota, and a threshold",
      "calls",
      [
        await takes("without a rule"),
        await takes("before the rule's threshold", 80),
        await takes("beyond it", 80, 400_000),
      ],
      7,
    ),
    await compare("consume_quota, one call a tenant", "calls", [
      crossings("without a rule"),
      crossings("crossing the rule's threshold", 80),
    ]),
  ];
}
