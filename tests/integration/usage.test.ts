import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { formatTrace, generateTrace } from "../../scripts/demo/generated_trace.ts";
import { importTrace } from "../../scripts/import/import_trace.ts";
import { freePort } from "../../scripts/stack/process.ts";
import { startServer } from "../../scripts/stack/server.ts";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import { createMeterbase, type Meterbase, PermissionError, type UsageEvent } from "../../src/index.ts";
import { fileJournal } from "../../src/node.ts";
import { createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";
import { scaled } from "../helpers/scale.ts";

const { url, secretKey, databaseUrl } = inject("stack");
const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} });
const operator = createMeterbase(service);
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "meterbase-usage-"));
});
afterAll(async () => {
  await rm(dir, { recursive: true });
  await sql.end();
});

const DAY = 86_400_000;
const daysAgo = (days: number) => new Date(Date.now() - days * DAY);

describe("a member", () => {
  let person: Person;
  let tenant: Tenant;
  let mb: Meterbase;
  beforeAll(async () => {
    person = await signUp();
    tenant = await createTenant(person.client, "trial");
    mb = createMeterbase(person.client);
  });

  test("reads the same usage before and after a pass, by hour, day and month", async () => {
    const at = [daysAgo(3), daysAgo(3), daysAgo(1), new Date()];
    await mb.usage.recordUsage(
      tenant.id,
      at.map((time, i) => ({
        event_id: `read-${i}`,
        event_type: "chat_message",
        event_timestamp: time.toISOString(),
        tokens_consumed: 100 + i,
        api_status_code: i === 1 ? 500 : 200,
        api_response_time_ms: 10 * (i + 1),
        metadata: { session_id: `s${i % 2}` },
      })),
    );
    const read = () =>
      Promise.all(
        (["hourly", "daily", "monthly"] as const).map((type) =>
          mb.usage.getTenantUsage(tenant.id, daysAgo(31), new Date(Date.now() + DAY), type),
        ),
      );
    const before = await read();
    await operator.usage.aggregateUsageMetrics();
    expect(await read()).toEqual(before);

    const [hours, days, months] = before;
    expect(hours).toHaveLength(3);
    expect(days?.map((day) => [day.total_tokens_used, day.error_count, day.chat_sessions_created])).toEqual([
      [201, 1, 2],
      [102, 0, 0],
      [103, 0, 0],
    ]);
    expect(months?.reduce((sum, month) => sum + month.total_tokens_used, 0)).toBe(406);
    expect(await mb.usage.getTodayUsage(tenant.id)).toEqual(days?.at(-1));

    const table = await person.client
      .from("tenant_usage_metrics")
      .select("*")
      .eq("tenant_id", tenant.id)
      .eq("period_type", "daily")
      .order("period_start");
    expect(table.data?.map((row) => row.total_tokens_used)).toEqual([201, 102, 103]);
    const metric = await person.client
      .from("tenant_metric_usage")
      .select("quantity")
      .match({ tenant_id: tenant.id, metric: "chat_messages", period_type: "daily" });
    expect(metric.data?.map((row) => row.quantity).sort()).toEqual([1, 1, 2]);
  });

  test("pages through events, newest first, each once", async () => {
    const time = new Date().toISOString();
    const events = Array.from({ length: 25 }, (_, i) => ({
      event_id: `page-${String(i).padStart(2, "0")}`,
      event_type: "search",
      event_timestamp: time,
    }));
    await mb.usage.recordUsage(tenant.id, events);
    const seen: string[] = [];
    let page = await mb.usage.getTenantEvents(tenant.id, daysAgo(1), daysAgo(-1), {
      eventType: "search",
      limit: 10,
    });
    while (page.length > 0) {
      seen.push(...page.map(({ event_id }) => event_id));
      const before = page.at(-1);
      page = await mb.usage.getTenantEvents(tenant.id, daysAgo(1), daysAgo(-1), {
        eventType: "search",
        limit: 10,
        ...(before && { before }),
      });
    }
    expect(seen).toEqual(events.map(({ event_id }) => event_id).reverse());
  });

  test("is told what is wrong with a question", async () => {
    const now = new Date();
    const codes = await Promise.all(
      [
        mb.usage.getTenantUsage(tenant.id, now, now, "weekly" as "daily"),
        mb.usage.getTenantUsage(tenant.id, now, daysAgo(1)),
        mb.usage.getTenantEvents(tenant.id, daysAgo(1), now, { limit: 0 }),
        mb.usage.getTenantUsage(randomUUID(), daysAgo(1), now),
        mb.usage.getTopConsumers("tokens"),
        mb.usage.getMultiTenantStats(),
        mb.usage.getTenantExceedingQuota(),
        mb.usage.recomputeUsageMetrics(daysAgo(1), now),
        mb.usage.aggregateUsageMetrics(),
      ].map((call) =>
        call.then(
          () => "answered",
          (error) => error.code,
        ),
      ),
    );
    expect(codes).toEqual([
      "invalid_period_type",
      "invalid_range",
      "invalid_max_rows",
      "permission_denied",
      "platform_admin_only",
      "platform_admin_only",
      "platform_admin_only",
      "platform_admin_only",
      "42501",
    ]);
  });
});

test("an operator sees who used most, and who was denied", async () => {
  const tenant = await createTenant(service, "trial");
  await operator.usage.recordUsage(tenant.id, [
    { event_id: "big", event_type: "ai_request", tokens_consumed: 2 ** 45, cost_usd: 999_999 },
  ]);
  await operator.quota.consumeQuota(tenant.id, "tokens", { amount: 10_001 });
  expect(await operator.usage.getTopConsumers("tokens", "monthly", 1_000)).toContainEqual(
    expect.objectContaining({ tenant_id: tenant.id, name: tenant.name, quantity: 2 ** 45 }),
  );
  expect(await operator.usage.getTopConsumers("cost", "daily", 1_000)).toContainEqual(
    expect.objectContaining({ tenant_id: tenant.id, quantity: 999_999 }),
  );
  expect(await operator.usage.getMultiTenantStats("daily", 1_000)).toContainEqual(
    expect.objectContaining({ tenant_id: tenant.id, total_tokens_used: 2 ** 45 }),
  );
  expect(await operator.usage.getTenantExceedingQuota()).toContainEqual(
    expect.objectContaining({ tenant_id: tenant.id, quota_limit: 10_000, quota_exceeded_count: 1 }),
  );
  await expect(operator.usage.getTopConsumers("nonsense")).rejects.toMatchObject({
    code: "metric_not_found",
  });
});

describe("a tracker", () => {
  /** The platform behind a door of its own, which can be shut. */
  async function door() {
    const port = await freePort();
    const pass = (request: Request) => {
      const { pathname, search } = new URL(request.url);
      return fetch(url + pathname + search, {
        method: request.method,
        headers: request.headers,
        body: request.body,
        duplex: "half",
      } as RequestInit);
    };
    let server = await startServer(pass, port);
    return {
      url: server.url,
      shut: () => server.stop(),
      open: async () => {
        server = await startServer(pass, port);
      },
    };
  }

  test("loses nothing and doubles nothing when the database is out of reach, or the process ends", async () => {
    const tenant = await createTenant(service);
    const way = await door();
    const path = join(dir, "journal.json");
    const usage = { maxDelayMs: 20, journal: fileJournal<UsageEvent>(path) };
    const first = createMeterbase(supabaseClient(way.url, secretKey), { usage });

    await first.usage.track(tenant.id, "embedding").recordSuccess({ tokens_used: 1, quantity: 3 });
    await first.usage.buffer.flush();
    expect(first.usage.buffer.size).toBe(0);

    await way.shut();
    const kept = first.usage.track(tenant.id, "ai_request", { model: "gpt-4o" });
    await kept.recordSuccess({ message: "Hello", response: "Hello yourself" });
    await first.usage.track(tenant.id, "api_call").recordRateLimit();
    await first.usage.buffer.shutdown();
    expect(JSON.parse(await readFile(path, "utf8"))).toHaveLength(2);

    await way.open();
    // The same journal twice: as if the process had died after the database took the events.
    const text = await readFile(path, "utf8");
    for (let run = 0; run < 2; run++) {
      await writeFile(path, text);
      const next = createMeterbase(supabaseClient(way.url, secretKey), { usage });
      await next.usage.buffer.flush();
      expect(next.usage.buffer.size).toBe(0);
      expect(existsSync(path)).toBe(false);
    }
    await way.shut();

    const events = await operator.usage.getTenantEvents(tenant.id, daysAgo(1), daysAgo(-1));
    expect(events.map((event) => [event.event_type, event.api_status_code]).sort()).toEqual([
      ["ai_request", 200],
      ["api_call", 429],
      ["embedding", 200],
    ]);
    // The price of the table, which knows the model, and not the estimate that came with it.
    const request = events.find(({ event_id }) => event_id === kept.eventId);
    const { prompt_tokens = 0, completion_tokens = 0 } = (request?.metadata ?? {}) as Record<string, number>;
    expect(prompt_tokens * completion_tokens).toBeGreaterThan(0);
    expect(request?.cost_usd).toBeCloseTo((prompt_tokens * 2.5 + completion_tokens * 10) / 1e6, 10);
  });

  test("of somebody who may not record keeps its caller going", async () => {
    const tenant = await createTenant(service);
    const { client } = await signUp();
    const mb = createMeterbase(client);
    await mb.usage.track(tenant.id, "api_call").recordSuccess();
    await mb.usage.buffer.shutdown();
    expect(mb.usage.buffer.size).toBe(1);
    await expect(
      mb.usage.recordUsage(tenant.id, [{ event_id: "a", event_type: "api_call" }]),
    ).rejects.toBeInstanceOf(PermissionError);
  });

  test("keeps an event whose text Postgres cannot hold, without what it cannot", async () => {
    const tenant = await createTenant(service);
    const mb = createMeterbase(service);
    for (const note of ["nul: \u0000", "half a pair: \ud83d"]) {
      await mb.usage.track(tenant.id, "api_call", { note }).recordSuccess();
    }
    await mb.usage.buffer.shutdown();
    const events = await operator.usage.getTenantEvents(tenant.id, daysAgo(1), daysAgo(-1));
    expect(events.map(({ metadata }) => metadata.note).sort()).toEqual([
      "half a pair: \ufffd",
      "nul: \ufffd",
    ]);
  });
});

const REAL = new URL("../../../shared/data/azure-llm-inference-conv.csv", import.meta.url).pathname;
test.each(["generated", ...(existsSync(REAL) ? ["production"] : [])])(
  "a %s trace, imported and rolled up, reads back per tenant as the file says",
  async (kind) => {
    const path = kind === "production" ? REAL : join(dir, "trace.csv");
    if (kind === "generated") await writeFile(path, formatTrace(generateTrace(scaled(3_000, 20_000), 23)));
    const { tenant_ids, ...result } = await importTrace({
      client: service,
      path,
      tenants: 20,
      prefix: `Read ${kind}`,
    });
    await operator.usage.aggregateUsageMetrics();

    // From the file alone: lines, their times and their two numbers. Asked of the database: whose line it is, and by how much
    // the importer has moved all of them.
    const lines = (await readFile(path, "utf8")).split(/\r?\n/);
    const isRow = (line: string | undefined) => /^\d/.test(line ?? "");
    expect(result).toMatchObject({ accepted: lines.filter(isRow).length, rejected: 0, malformed: 0 });
    const timeOf = (line: number) =>
      Date.parse(`${(lines[line - 1] as string).slice(0, 23).replace(" ", "T")}Z`);
    const owners = await sql<{ line: number; tenant_id: string; at: Date }[]>`
      select split_part(event_id, ':', 2)::int as line, tenant_id, event_timestamp as at
      from tenant_usage_realtime where tenant_id in ${sql(tenant_ids)}`;
    expect(new Set(owners.map(({ line }) => line)).size).toBe(lines.filter(isRow).length);
    const [any] = owners;
    const shift = (any?.at.getTime() ?? 0) - timeOf(any?.line ?? 0);
    const expected: Record<string, { messages: number; tokens: number; cost: number }> = {};
    for (const { line, tenant_id } of owners) {
      const [, context, generated] = (lines[line - 1] as string).split(",").map(Number) as [
        number,
        number,
        number,
      ];
      const day = new Date(timeOf(line) + shift).toISOString().slice(0, 10);
      const key = `${tenant_id} ${day}T00:00:00.000Z`;
      expected[key] ??= { messages: 0, tokens: 0, cost: 0 };
      expected[key].messages += 1;
      expected[key].tokens += context + generated;
    }

    const read: typeof expected = {};
    const metrics: typeof expected = {};
    for (const tenantId of tenant_ids) {
      for (const day of await operator.usage.getTenantUsage(tenantId, daysAgo(31), daysAgo(-1))) {
        read[`${tenantId} ${new Date(day.period_start).toISOString()}`] = {
          messages: day.chat_messages_sent,
          tokens: day.total_tokens_used,
          cost: day.estimated_cost_usd,
        };
      }
      const rows = await service
        .from("tenant_metric_usage")
        .select("metric, period_start, quantity")
        .match({ tenant_id: tenantId, period_type: "daily" });
      for (const { metric, period_start, quantity } of rows.data ?? []) {
        const key = `${tenantId} ${new Date(period_start).toISOString()}`;
        metrics[key] ??= { messages: 0, tokens: 0, cost: 0 };
        if (metric === "chat_messages") metrics[key].messages = quantity;
        if (metric === "tokens") metrics[key].tokens = quantity;
      }
    }
    expect(read).toEqual(expected);
    expect(metrics).toEqual(expected);
  },
);
