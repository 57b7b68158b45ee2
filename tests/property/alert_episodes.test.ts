import { randomUUID } from "node:crypto";
import fc from "fast-check";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { arrayOf, tenantWithLimits } from "../helpers/ledger.ts";
import { scaled } from "../helpers/scale.ts";
import { DAY, HOUR } from "../helpers/usage.ts";

const EVALUATORS = 4;
const TENANTS = 4;
const STEPS = 20;
const MINUTE = 60_000;
/** Facts happen in the first half of a step, and windows end in the middle of one: nothing is ever on an edge. */
const STEP = 20 * MINUTE;
const WINDOW = 50 * MINUTE;
const COOLDOWN = 45 * MINUTE;
const DAY_LIMIT = 100;
const STOCK_LIMIT = 200;

let database: Database;
let sql: Sql;
let evaluators: Sql[];

beforeAll(async () => {
  database = await startDatabase(); // without a schedule: there are no passes but those of the test
  const connect = () => postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  sql = connect();
  evaluators = Array.from({ length: EVALUATORS }, connect);
  await sql`update public.alert_rules set enabled = false`; // the operator's, which are about the platform
});
afterAll(async () => {
  await Promise.all([sql, ...(evaluators ?? [])].map((connection) => connection?.end()));
  await database?.stop();
});

// What happens -----------------------------------------------------------------------------------------------------------

/** What becomes of a tenant in one step: more failures, breaches, cost and takes, and another stock and invoice. */
interface Facts {
  failures: number;
  breaches: number;
  stock: number;
  isUnpaid: boolean;
  cost: number;
  takes: number;
  isNextDay: boolean;
}

/** What a member does about an alert that is open: before the passes of a step, or while they run. */
type Hand = "" | "acknowledge" | "resolve" | "resolve meanwhile";

interface Step {
  /** One for each tenant. */
  facts: Facts[];
  /** One for each alert that there can be, around and around. */
  hands: Hand[];
}

const facts: fc.Arbitrary<Facts> = fc.record({
  failures: fc.constantFrom(0, 0, 0, 1, 3, 6),
  breaches: fc.constantFrom(0, 0, 0, 1, 2, 3),
  stock: fc.constantFrom(10, 100, 159, 160, 189, 190, 200, 201, 230),
  isUnpaid: fc.boolean(),
  cost: fc.constantFrom(0, 1, 2, 10),
  takes: fc.constantFrom(0, 15, 40, 55),
  isNextDay: fc.constantFrom(false, false, true),
});
const hand = fc.constantFrom<Hand>("", "", "", "", "acknowledge", "resolve", "resolve meanwhile");
const exactly = (length: number) => ({ minLength: length, maxLength: length });
const history: fc.Arbitrary<Step[]> = fc.array(
  fc.record({ facts: fc.array(facts, exactly(TENANTS)), hands: fc.array(hand, exactly(17)) }),
  exactly(STEPS),
);

/** A tenant as rules look at it, and a second one, whose days go by. Times are the real ones. */
interface Life {
  tenantId: string;
  /** How far its clock is ahead. */
  offset: number;
  failures: number[];
  breaches: number[];
  stock: number;
  isUnpaid: boolean;
  /** By the hour, in the tenant's time. */
  costs: Map<number, number>;
  inDays: { tenantId: string; day: number; taken: number };
}

const hourOf = (time: number) => Math.floor(time / HOUR);

/** Of tenants whose time begins at one in the morning, so that a day holds the whole history. */
async function startLife(start: number): Promise<Life> {
  const offset = DAY - (start % DAY) + HOUR;
  const tenantId = await tenantWithLimits(sql, [{ metric: "workflows", limit: STOCK_LIMIT }]);
  const dayTenantId = await tenantWithLimits(sql, [{ metric: "tokens", limit: DAY_LIMIT, period: "day" }]);
  await sql`
    update public.tenants t set clock_offset = ${offset}::float8 * interval '1 millisecond'
    where t.id in (${tenantId}, ${dayTenantId})`;
  await sql`
    insert into private.quota_counters (tenant_id, metric, period, subject, window_start, used)
    values (${tenantId}, 'workflows', 'none', '', '-infinity', 0)`;
  await sql`
    insert into public.invoices (
      tenant_id, stripe_invoice_id, status, currency, total, amount_due, amount_paid, amount_remaining, attempt_count,
      period_start, period_end, created_at
    ) values (${tenantId}, ${tenantId}, 'paid', 'usd', 1, 1, 0, 1, 1, now(), now(), now())`;
  await sql`
    insert into public.payments
      (tenant_id, stripe_invoice_id, attempt, status, stripe_payment_id, amount, currency, occurred_at)
    values (${tenantId}, ${tenantId}, 1, 'failed', 'ch_1', 1, 'usd', now())`;
  return {
    tenantId,
    offset,
    failures: [],
    breaches: [],
    stock: 0,
    isUnpaid: false,
    costs: new Map(),
    inDays: { tenantId: dayTenantId, day: 0, taken: 0 },
  };
}

/** Lets a step's facts come true, in the database and in the model. */
async function happen(life: Life, step: Facts, at: number): Promise<void> {
  const { tenantId, offset, inDays } = life;
  const times = (count: number) => Array.from({ length: count }, (_, i) => at - STEP + (i + 1) * MINUTE);
  const inTheirTime = (all: number[]) => arrayOf(all.map((time) => new Date(time + offset).toISOString()));

  const failures = times(step.failures);
  life.failures.push(...failures);
  await sql`
    insert into public.tenant_usage_realtime (tenant_id, event_id, event_timestamp, event_type, api_status_code, batch_id)
    select ${tenantId}, gen_random_uuid()::text, t, 'api_call', s, 0
    from unnest(${inTheirTime(failures)}::timestamptz[]) t cross join unnest(array[500, 429, 200]) s`;

  const breaches = times(step.breaches);
  life.breaches.push(...breaches);
  await sql`
    insert into public.quota_decisions
      (tenant_id, metric, period, subject, amount, allowed, used, window_start, windows, plan_id, is_first, created_at)
    select ${tenantId}, 'api_calls', p::public.quota_period, '', 1, false, 60, t, '[]', 'free', f, t
    from unnest(${inTheirTime(breaches)}::timestamptz[]) t
    cross join (values ('minute', true), ('hour', false), ('day', true)) v (p, f)`;

  life.stock = step.stock;
  await sql`update private.quota_counters set used = ${step.stock} where tenant_id = ${tenantId} and metric = 'workflows'`;
  life.isUnpaid = step.isUnpaid;
  await sql`update public.invoices set status = ${step.isUnpaid ? "open" : "paid"} where tenant_id = ${tenantId}`;

  const hour = hourOf(at - STEP + offset);
  const cost = (life.costs.get(hour) ?? 0) + step.cost;
  life.costs.set(hour, cost);
  const row = {
    metric_id: randomUUID(),
    tenant_id: tenantId,
    period_type: "hourly",
    period_start: new Date(hour * HOUR).toISOString(),
    period_end: new Date((hour + 1) * HOUR).toISOString(),
    estimated_cost_usd: cost,
  };
  await sql`
    insert into public.tenant_usage_metrics
    select (jsonb_populate_record(null::public.tenant_usage_metrics, c.nothing || ${sql.json(row)})).*
    from (
      select jsonb_object_agg(a.attname, 0) from pg_attribute a
      where a.attrelid = 'public.tenant_usage_metrics'::regclass and a.attnum > 0 and a.atttypid = 'bigint'::regtype
    ) b (nothing)
    cross join lateral (select b.nothing || '{"error_rate": 0}') c (nothing)
    on conflict (tenant_id, period_type, period_start) do update set estimated_cost_usd = excluded.estimated_cost_usd`;

  if (step.isNextDay) {
    inDays.day++;
    inDays.taken = 0;
    await sql`update public.tenants set clock_offset = clock_offset + interval '24 hours' where id = ${inDays.tenantId}`;
  }
  if (step.takes > 0) {
    const [answer] =
      await sql`select allowed from public.consume_quota(${inDays.tenantId}, 'tokens', ${step.takes})`;
    const fits = inDays.taken + step.takes <= DAY_LIMIT;
    expect(answer?.allowed).toBe(fits);
    if (fits) inDays.taken += step.takes;
  }
}

// The rules, and what they must make of it -------------------------------------------------------------------------------

interface Episode {
  key: string;
  openedAt: number;
  endedAt?: number;
  /** `either`: whichever came first. */
  resolved?: "by hand" | "by itself" | "either";
  isAcknowledged: boolean;
}

/** A rule of a tenant, or of the operator, about one thing: of that, one episode runs at a time. */
interface Watch {
  type: string;
  ruleId: string;
  /** Whom it is about; the alert is theirs too, unless the rule is the operator's. */
  tenantId: string;
  severity: string;
  isOperators?: boolean;
  /** What is about a period is told once in that period, which is the key then. */
  isOnce?: boolean;
  cooldown?: number;
  /** What the rule sees now; null: nothing. */
  sees: (at: number) => string | null;
  channels: Channels;
  episodes: Episode[];
  /** As they were after the last step. */
  alerts: AlertRow[];
}

type Channels = Record<"webhook" | "pagerduty" | "slack" | "email" | "console", string[]>;
const NO_CHANNELS: Channels = { webhook: [], pagerduty: [], slack: [], email: [], console: [] };
const RECIPIENTS = ["ann@example.com", "ben@example.com"];

const running = ({ episodes }: Watch) => episodes.find(({ endedAt }) => endedAt === undefined);

/** What passes at a time must do: end what is seen no more, and open what is seen anew. */
function pass(watch: Watch, at: number): void {
  const seen = watch.sees(at);
  for (const episode of watch.episodes) {
    if (episode.endedAt !== undefined || episode.key === seen) continue;
    episode.endedAt = at;
    episode.resolved ??= "by itself";
  }
  if (seen === null) return;
  const before = watch.episodes.filter(({ key }) => key === seen).at(-1);
  const isQuiet = before && before.endedAt !== undefined && before.endedAt > at - (watch.cooldown ?? 0);
  if (before && (watch.isOnce || before.endedAt === undefined || isQuiet)) return;
  watch.episodes.push({ key: seen, openedAt: at, isAcknowledged: false });
}

/** Makes the rules of a tenant, and says how each must behave. */
async function watchesOf(
  life: Life,
  operatorRule: Pick<Watch, "type" | "ruleId" | "channels">,
): Promise<Watch[]> {
  const { tenantId, inDays } = life;
  const channels = await channelsOf(tenantId);
  const [, alone = ""] = channels.webhook;
  const rule = async (type: string, fields: Record<string, unknown> = {}) => {
    const row = { tenant_id: tenantId, name: "Rule", type, ...fields };
    const [made] = await sql`insert into public.alert_rules ${sql(row as never)} returning id`;
    return { type, ruleId: made?.id as string, tenantId, channels };
  };
  const when = (holds: (at: number) => boolean) => ({ sees: (at: number) => (holds(at) ? "" : null) });
  const since = (times: number[], at: number) => times.filter((time) => time > at - WINDOW).length;
  const minutes = { window_minutes: WINDOW / MINUTE };
  const stock = await rule("usage_threshold", { metric: "workflows" });
  const tokens = {
    ...(await rule("usage_threshold", { tenant_id: inDays.tenantId })),
    tenantId: inDays.tenantId,
    channels: await channelsOf(inDays.tenantId),
    isOnce: true,
  };
  const inDay = (percent: number) => ({
    sees: () => (100 * inDays.taken >= percent * DAY_LIMIT ? `day ${inDays.day}` : null),
  });
  const watches: Omit<Watch, "episodes" | "alerts">[] = [
    {
      ...(await rule("execution_failure", { threshold: 3, ...minutes })),
      ...{ severity: "high", ...when((at) => since(life.failures, at) > 3) },
    },
    {
      ...(await rule("execution_failure", {
        ...{ threshold: 2, severity: "low", ...minutes },
        ...{ cooldown: `${COOLDOWN / MINUTE} minutes`, channel_ids: arrayOf([alone]) },
      })),
      ...{ severity: "low", ...when((at) => since(life.failures, at) > 2) },
      ...{ cooldown: COOLDOWN, channels: { ...NO_CHANNELS, webhook: [alone] } },
    },
    {
      ...operatorRule,
      tenantId,
      isOperators: true,
      severity: "high",
      ...when((at) => since(life.failures, at) > 4),
    },
    {
      ...(await rule("rate_limit_breach", { threshold: 1, ...minutes })),
      ...{ severity: "medium", ...when((at) => since(life.breaches, at) > 1) },
    },
    { ...(await rule("payment_failed")), severity: "critical", ...when(() => life.isUnpaid) },
    { ...stock, severity: "medium", ...when(() => life.stock >= 0.8 * STOCK_LIMIT) },
    { ...stock, severity: "critical", ...when(() => life.stock >= 0.95 * STOCK_LIMIT) },
    {
      ...(await rule("overage_detected", { metric: "workflows" })),
      ...{ severity: "high", ...when(() => life.stock > STOCK_LIMIT) },
    },
    {
      ...(await rule("cost_spike", { window_minutes: 60 })),
      severity: "high",
      isOnce: true,
      sees: (at) => {
        const hour = hourOf(at + life.offset);
        const before = life.costs.get(hour - 1) ?? 0;
        return before > 0 && (life.costs.get(hour) ?? -1) >= 2.5 * before ? `hour ${hour}` : null;
      },
    },
    { ...tokens, severity: "medium", ...inDay(80) },
    { ...tokens, severity: "critical", ...inDay(95) },
  ];
  return watches.map((watch) => ({ ...watch, episodes: [], alerts: [] }));
}

async function channelsOf(tenantId: string | null): Promise<Channels> {
  const channels: Channels = { ...NO_CHANNELS };
  const configs = {
    webhook: { url: "https://hooks.example.com/" },
    pagerduty: { routing_key: "0123456789" },
    slack: { webhook_url: "https://hooks.example.com/slack" },
    email: { recipients: RECIPIENTS },
    console: {},
  };
  for (const [type, config] of Object.entries(configs)) {
    const rows = [true, true, false].map((enabled) => ({
      tenant_id: tenantId,
      type,
      name: "Channel",
      enabled,
    }));
    const made = await sql`
      insert into public.alert_channels (tenant_id, type, name, config, enabled)
      select r.tenant_id, r.type, r.name, ${sql.json(config)}, r.enabled
      from jsonb_populate_recordset(null::public.alert_channels, ${sql.json(rows)}) r
      returning id, enabled`;
    channels[type as keyof Channels] = made.filter(({ enabled }) => enabled).map(({ id }) => id);
  }
  return channels;
}

// What there is ----------------------------------------------------------------------------------------------------------

/** How the outbox must tell of an episode: each event to whom it concerns, once. */
function messagesOf(episode: Episode, { channels }: Watch): string[] {
  const tell = (event: string, types: (keyof Channels)[]) =>
    types.flatMap((type) =>
      channels[type].flatMap((id) =>
        (type === "email" ? RECIPIENTS : [""]).map((recipient) => `${event} ${id} ${recipient}`),
      ),
    );
  return [
    ...tell("opened", ["webhook", "pagerduty", "slack", "email", "console"]),
    ...(episode.isAcknowledged ? tell("acknowledged", ["webhook", "pagerduty"]) : []),
    ...(episode.resolved ? tell("resolved", ["webhook", "pagerduty", "slack"]) : []),
  ].sort();
}

interface AlertRow {
  id: string;
  status: string;
  opened_at: Date;
  cleared_at: Date | null;
  acknowledged_at: Date | null;
  resolution_note: string | null;
  /** As they were told. */
  messages: string[];
  are_in_order: boolean;
}

const alertsOf = ({ ruleId, tenantId, severity }: Watch) => sql<AlertRow[]>`
  select a.id, a.status, a.opened_at, a.cleared_at, a.acknowledged_at, a.resolution_note,
    array(
      select concat_ws(' ', n.payload ->> 'event', n.channel_id, coalesce(n.recipient, '')) from public.alert_notifications n
      where n.alert_id = a.id
    ) as messages,
    not exists (
      select from public.alert_notifications n
      join public.alert_notifications l on l.alert_id = n.alert_id and l.channel_id = n.channel_id and l.created_at >= n.created_at
      where n.alert_id = a.id and array_position('{opened,acknowledged,resolved}', n.payload ->> 'event')
        > array_position('{opened,acknowledged,resolved}', l.payload ->> 'event')
    ) as are_in_order
  from public.alerts a
  where a.rule_id = ${ruleId} and a.data ->> 'tenant_id' = ${tenantId} and a.severity = ${severity}::public.alert_severity
  order by a.opened_at`;

/** In which step of the history a time of a tenant's is. */
const stepOf = (time: number) => Math.floor(((time % DAY) - HOUR) / STEP);

/** What there must be of an episode. When a take has crossed a threshold, the take says. */
const expected = (watch: Watch, episode: Episode, { offset }: Life) => ({
  openedIn: episode.key.startsWith("day") ? null : stepOf(episode.openedAt + offset),
  endedIn: episode.endedAt === undefined ? null : stepOf(episode.endedAt + offset),
  resolved: episode.resolved ?? null,
  isAcknowledged: episode.isAcknowledged,
  messages: messagesOf(episode, watch),
  are_in_order: true,
});

/** What there is. The operator's alerts are dated in real time, a tenant's in its own. */
function actual(watch: Watch, row: AlertRow, episode: Episode | undefined, { offset }: Life) {
  const stepAt = (time: Date) => stepOf(time.getTime() + (watch.isOperators ? offset : 0));
  const isResolved = row.status === "resolved";
  const resolved = row.resolution_note === "by hand" ? "by hand" : "by itself";
  return {
    openedIn: episode?.key.startsWith("day") ? null : stepAt(row.opened_at),
    endedIn: row.cleared_at && stepAt(row.cleared_at),
    resolved: !isResolved ? null : episode?.resolved === "either" ? "either" : resolved,
    isAcknowledged: row.acknowledged_at !== null,
    messages: [...row.messages].sort(),
    are_in_order: row.are_in_order,
  };
}

/** A member does something about the alert that is open, if one is; returns what is to be done while the passes run. */
async function handle(watch: Watch, hand: Hand, at: number): Promise<(() => Promise<void>)[]> {
  const episode = running(watch);
  if (!episode || hand === "") return [];
  const alert = watch.alerts[watch.episodes.indexOf(episode)];
  const isDone = episode.resolved !== undefined;
  if (hand === "acknowledge") {
    const [answer] = await sql`select public.acknowledge_alert(${alert?.id as string}) as done`;
    expect(answer?.done).toBe(isDone || episode.isAcknowledged ? 0 : 1);
    episode.isAcknowledged ||= !isDone;
    return [];
  }
  const resolve = async () => {
    const [answer] = await sql`select public.resolve_alert(${alert?.id as string}, 'by hand') as done`;
    if (isDone || episode.resolved !== "either") expect(answer?.done).toBe(isDone ? 0 : 1);
  };
  const endsNow = watch.sees(at) !== episode.key;
  if (!isDone) episode.resolved = hand === "resolve meanwhile" && endsNow ? "either" : "by hand";
  if (hand === "resolve meanwhile") return [resolve];
  await resolve();
  return [];
}

test("an episode has one alert, told once to each channel, that ends by itself, whoever evaluates and resolves meanwhile", async () => {
  const operatorChannels = await channelsOf(null);
  const [operatorRule] = await sql`
    insert into public.alert_rules (name, type, threshold, window_minutes)
    values ('Rule', 'execution_failure', 4, ${WINDOW / MINUTE}) returning id`;
  let episodes = 0;

  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      const start = Math.ceil(Date.now() / HOUR) * HOUR;
      const lives = await Promise.all(Array.from({ length: TENANTS }, () => startLife(start)));
      const watches: { watch: Watch; life: Life }[] = [];
      for (const life of lives) {
        const own = await watchesOf(life, {
          type: "execution_failure",
          ruleId: operatorRule?.id,
          channels: operatorChannels,
        });
        watches.push(...own.map((watch) => ({ watch, life })));
      }

      for (const [i, step] of steps.entries()) {
        const at = start + (i + 1) * STEP;
        for (const [n, life] of lives.entries()) await happen(life, step.facts[n] as Facts, at);
        const meanwhile: (() => Promise<void>)[] = [];
        for (const [n, { watch }] of watches.entries()) {
          const next = step.hands[n % step.hands.length] as Hand;
          meanwhile.push(...(await handle(watch, next, at)));
        }
        const passes = evaluators.map(
          (evaluator, n) => evaluator`select * from public.evaluate_alert_rules(${new Date(at + n)})`,
        );
        const [answers] = await Promise.all([Promise.all(passes), ...meanwhile.map((act) => act())]);

        for (const { watch, life } of watches) {
          pass(watch, at);
          watch.alerts = await alertsOf(watch);
          expect(
            watch.alerts.map((row, n) => actual(watch, row, watch.episodes[n], life)),
            `step ${i}, ${watch.type}`,
          ).toEqual(watch.episodes.map((episode) => expected(watch, episode, life)));
        }
        const ofNow = watches
          .flatMap(({ watch }) => watch.episodes)
          .filter(({ openedAt }) => openedAt === at);
        const opened = answers.reduce((sum, [answer]) => sum + answer?.opened, 0);
        expect(opened).toBe(ofNow.filter(({ key }) => !key.startsWith("day")).length);
      }
      episodes += watches.reduce((sum, { watch }) => sum + watch.episodes.length, 0);
      // What is left open would be looked at in the next history, at an earlier time.
      await sql`delete from public.tenants where id = any (${arrayOf(lives.flatMap((life) => [life.tenantId, life.inDays.tenantId]))})`;
      await sql`delete from public.alerts`;
    }),
    { numRuns: scaled(1, 6), endOnFailure: true },
  );
  expect(episodes).toBeGreaterThanOrEqual(scaled(80, 500));
}, 600_000);
