import type { Sql } from "postgres";
import { type Comparison, compare, type Variant } from "./compare.ts";

const EVENTS = 5_000;

/** record_usage beside COPY of the same rows into tables of the same shape. */
export async function benchUsage(sql: Sql): Promise<Comparison[]> {
  const [{ id: tenantId }] = await sql<[{ id: string }]>`select (public.create_tenant('Bench', 'pro')).id`;
  await sql`create table copied_events (like public.tenant_usage_realtime including all)`;
  await sql`create table copied_keys (like private.usage_event_keys including all)`;

  let next = 0;
  const events = (count: number) =>
    Array.from({ length: count }, () => ({
      event_id: `bench-${next++}`,
      event_type: "api_call",
      event_timestamp: new Date().toISOString(),
      tokens_consumed: 150,
      api_response_time_ms: 12.5,
      api_status_code: 200,
      metadata: { prompt_tokens: 100, completion_tokens: 50 },
    }));

  async function copy(withKeys: boolean): Promise<void> {
    const batch = events(EVENTS);
    await sql.begin(async (transaction) => {
      if (withKeys) {
        const keys = await transaction`copy copied_keys (tenant_id, event_id) from stdin`.writable();
        await write(keys, batch.map((event) => `${tenantId}\t${event.event_id}\n`).join(""));
      }
      const rows = await transaction`
        copy copied_events (tenant_id, event_timestamp, event_id, event_type, tokens_consumed,
          api_response_time_ms, api_status_code, metadata, batch_id) from stdin`.writable();
      const line = (event: (typeof batch)[number]) =>
        [tenantId, event.event_timestamp, event.event_id, event.event_type, event.tokens_consumed]
          .concat(event.api_response_time_ms, event.api_status_code, JSON.stringify(event.metadata), 1)
          .join("\t");
      await write(rows, batch.map((event) => `${line(event)}\n`).join(""));
    });
  }

  const record = (batch: number): Variant => ({
    name: `record_usage, batches of ${batch}`,
    operations: batch === 1 ? 500 : EVENTS,
    async run() {
      for (let sent = 0; sent < this.operations; sent += batch) {
        await sql`select accepted from public.record_usage(${tenantId}, ${sql.json(events(batch))})`;
      }
    },
  });
  return [
    await compare("one connection", "events", [
      { name: "COPY into events and keys, same indexes", operations: EVENTS, run: () => copy(true) },
      { name: "COPY into events alone", operations: EVENTS, run: () => copy(false) },
      record(5_000),
      record(500),
      record(50),
      record(1),
    ]),
  ];
}

function write(stream: NodeJS.WritableStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("finish", () => resolve());
    stream.end(text);
  });
}
