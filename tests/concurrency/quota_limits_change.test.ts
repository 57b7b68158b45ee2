import { randomUUID } from "node:crypto";
import postgres, { type Sql } from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { scaled } from "../helpers/scale.ts";
import { until } from "../helpers/until.ts";

const { databaseUrl } = inject("stack");
const control = postgres(databaseUrl, { max: 1, onnotice: () => {} });
const workers = Array.from({ length: 12 }, () => postgres(databaseUrl, { max: 1, onnotice: () => {} }));
afterAll(() => Promise.all([control, ...workers].map((sql) => sql.end())));

const PERIODS = ["minute", "day", "month"] as const;
type Period = (typeof PERIODS)[number];
/** api_calls in a minute. */
const PLANS = { trial: 30, starter: 60, pro: 120 } as const;

const integer = (from: number, to: number) => from + Math.floor(Math.random() * (to - from + 1));
const oneOf = <T>(items: readonly T[]) => items[integer(0, items.length - 1)] as T;

/** Takes, and notes where each counter then stands, while its row is locked: two statements, so that the second sees the first. */
const TAKE = `
create schema %schema%;
create function %schema%.take(p_tenant_id uuid, p_amount int) returns void language plpgsql as $$
declare
  v_started_at timestamptz := statement_timestamp();
  v_allowed boolean;
begin
  select allowed into v_allowed from public.consume_quota(p_tenant_id, 'api_calls', p_amount);
  if v_allowed then
    insert into %schema%.takes (period, window_start, amount, used, started_at)
    select period, window_start, p_amount, used, v_started_at
    from private.quota_counters where tenant_id = p_tenant_id and metric = 'api_calls';
  end if;
end
$$;
create table %schema%.takes (
  period public.quota_period not null,
  window_start timestamptz not null,
  amount int not null,
  used int not null,
  started_at timestamptz not null,
  ended_at timestamptz not null default clock_timestamp()
)`;

/** A limit of a period, and when it was in force at most: from before it was set until the next one was. */
interface Limit {
  limit: number;
  from: number;
  until: number;
}

test("plans, overrides and windows change under load, and no window is taken beyond the limits in force", async () => {
  const changes = scaled(60, 500);
  const schema = `takes_${randomUUID().replaceAll("-", "")}`;
  await control.unsafe(TAKE.replaceAll("%schema%", schema));
  const [tenant] = await control`select id from public.create_tenant('Tenant of changing limits', 'trial')`;
  const tenantId = tenant?.id as string;

  const limits: Record<Period, Limit[]> = { minute: [], day: [], month: [] };
  /** Changes one, and notes when. */
  const change = async (period: Period, limit: number, statement: (sql: Sql) => PromiseLike<unknown>) => {
    const now = async () => {
      const [row] = await control`select extract(epoch from clock_timestamp())::float8 as at`;
      return row?.at as number;
    };
    const from = await now();
    await statement(control);
    const last = limits[period].at(-1);
    if (last) last.until = await now();
    limits[period].push({ limit, from, until: Number.POSITIVE_INFINITY });
  };
  const setPlan = (plan: keyof typeof PLANS) =>
    change(
      "minute",
      PLANS[plan],
      (sql) => sql`update public.tenants set plan_id = ${plan} where id = ${tenantId}`,
    );
  const setOverride = (period: Period, limit: number) =>
    change(
      period,
      limit,
      (sql) => sql`select public.set_custom_quota(${tenantId}, 'api_calls', ${limit}, ${period})`,
    );
  const advance = (interval: string) => control`
    update public.tenants set clock_offset = clock_offset + ${interval}::interval where id = ${tenantId}`;
  await setPlan("trial");
  await setOverride("day", 200);
  await setOverride("month", 1_000);

  let isOver = false;
  let asked = 0;
  const load = Promise.all(
    workers.map(async (sql) => {
      while (!isOver) {
        await sql`select ${sql(schema)}.take(${tenantId}, ${integer(1, 7)})`;
        asked++;
      }
    }),
  );
  load.catch(() => {}); // awaited below
  let plan: keyof typeof PLANS = "trial";
  let isOverridden = false;
  const changePlan = async () => {
    plan = oneOf(["trial", "starter", "pro"] as const);
    if (isOverridden) await control`update public.tenants set plan_id = ${plan} where id = ${tenantId}`;
    else await setPlan(plan);
  };
  // The clock may go ahead by 400 days in all.
  const steps: ((i: number) => PromiseLike<unknown>)[] = [
    changePlan,
    () => advance("1 minute"),
    () => {
      isOverridden = true;
      return setOverride("minute", integer(0, 150));
    },
    () => advance("1 minute"),
    () => setOverride("day", integer(50, 400)),
    () => advance("1 day"),
    () => {
      isOverridden = false;
      return change(
        "minute",
        PLANS[plan],
        (sql) => sql`select public.clear_custom_quota(${tenantId}, 'api_calls', 'minute')`,
      );
    },
    changePlan,
    () => setOverride("month", integer(500, 3_000)),
    (i) => advance(i % 50 === 39 ? "1 month" : "1 minute"),
  ];
  for (let i = 0; i < changes; i++) {
    await steps[i % steps.length]?.(i);
    const before = asked;
    await Promise.race([load, until(() => asked > before + 50)]);
  }
  isOver = true;
  await load;

  const takes = await control`
    select period, window_start::text, amount, used,
      extract(epoch from started_at)::float8 as started_at, extract(epoch from ended_at)::float8 as ended_at
    from ${control(schema)}.takes`;
  const windows = new Map<string, { period: Period; granted: number; used: number; limit: number }>();
  const beyond: unknown[] = [];
  let filled = 0;
  for (const take of takes) {
    const period = take.period as Period;
    const inForce = limits[period].filter(
      ({ from, until }) => from <= take.ended_at && until >= take.started_at,
    );
    const limit = Math.max(...inForce.map((entry) => entry.limit));
    if (take.used > limit) beyond.push({ ...take, limit });
    if (take.used === limit) filled++;
    const key = `${period} ${take.window_start}`;
    const window = windows.get(key) ?? { period, granted: 0, used: 0, limit: 0 };
    window.granted += take.amount;
    window.used = Math.max(window.used, take.used);
    window.limit = Math.max(window.limit, limit);
    windows.set(key, window);
  }
  expect(beyond).toEqual([]);
  for (const { granted, used, limit } of windows.values()) {
    expect(granted).toBe(used); // nothing is lost when a window rolls over
    expect(granted).toBeLessThanOrEqual(limit);
  }
  // It was tight: windows were taken to the full, and there were many of each.
  const count = (period: Period) => [...windows.values()].filter((window) => window.period === period).length;
  expect(filled).toBeGreaterThan(changes / 20);
  expect(count("minute")).toBeGreaterThan(changes / 10);
  expect(count("day")).toBeGreaterThan(changes / 20);
  expect(count("month")).toBeGreaterThan(1);
  await control.unsafe(`drop schema ${schema} cascade`);
}, 600_000);

test("after a downgrade nothing is granted while more is used than the new limit, until the window rolls over", async () => {
  const [tenant] = await control`select id from public.create_tenant('Tenant that goes down', 'pro')`;
  const tenantId = tenant?.id as string;
  // Early in a minute of its own, so that it does not roll over by itself.
  await control`
    update public.tenants set clock_offset = date_trunc('minute', now()) + interval '61 seconds' - now() where id = ${tenantId}`;
  const race = async (times: number) => {
    const rounds = await Promise.all(
      workers.map(async (sql) => {
        let granted = 0;
        for (let i = 0; i < times; i++) {
          const [answer] = await sql`select allowed from public.consume_quota(${tenantId}, 'api_calls')`;
          if (answer?.allowed) granted++;
        }
        return granted;
      }),
    );
    return rounds.reduce((sum, granted) => sum + granted, 0);
  };
  expect(await race(6)).toBe(72);
  await control`update public.tenants set plan_id = 'starter' where id = ${tenantId}`;
  expect(await race(6)).toBe(0);
  await control`update public.tenants set plan_id = 'pro' where id = ${tenantId}`;
  expect(await race(6)).toBe(48);
  await control`update public.tenants set plan_id = 'trial', clock_offset = clock_offset + interval '1 minute' where id = ${tenantId}`;
  expect(await race(6)).toBe(30);
});
