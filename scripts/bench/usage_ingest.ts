import type { Sql } from "postgres";
import { type Comparison, compare, type Variant } from "./compare.ts";

const EVENTS = 5_000;

/** record_usage beside COPY of the same rows, in the same batches, into the same tables. */
export async function benchIngest(sql: Sql, second: Sql): Promise<Comparison[]> {
  const [{ id: tenantId }] = await sql<[{ id: string }]>`select (public.create_tenant('Bench', 'pro')).id`;

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

  async function copy(connection: Sql, batchSize: number, withKeys: boolean): Promise<void> {
    const batch = events(batchSize);
    await connection.begin(async (transaction) => {
      if (withKeys) {
        const keys =
          await transaction`copy private.usage_event_keys (tenant_id, event_id) from stdin`.writable();
        await write(keys, batch.map((event) => `${tenantId}\t${event.event_id}\n`).join(""));
      }
      const rows = await transaction`
        copy public.tenant_usage_realtime (tenant_id, event_timestamp, event_id, event_type, tokens_consumed,
          api_response_time_ms, api_status_code, metadata, batch_id) from stdin`.writable();
      const line = (event: (typeof batch)[number]) =>
        [tenantId, event.event_timestamp, event.event_id, event.event_type, event.tokens_consumed]
          .concat(event.api_response_time_ms, event.api_status_code, JSON.stringify(event.metadata), 1)
          .join("\t");
      await write(rows, batch.map((event) => `${line(event)}\n`).join(""));
    });
  }
  const record = (connection: Sql, size: number) =>
    connection`select accepted from public.record_usage(${tenantId}, ${connection.json(events(size))})`;

  /** As many events in batches of a size, over one or more connections at once. */
  const batches = (
    name: string,
    size: number,
    send: (connection: Sql) => Promise<unknown>,
    over = [sql],
  ): Variant => {
    const operations = size === 1 ? 500 : EVENTS;
    return {
      name,
      operations,
      async run() {
        await Promise.all(
          over.map(async (connection) => {
            for (let sent = 0; sent < operations / over.length; sent += size) await send(connection);
          }),
        );
      },
    };
  };
  const comparisons: Comparison[] = [];
  for (const size of [1, 50, 500, 5_000]) {
    comparisons.push(
      await compare(
        `ingest in batches of ${size.toLocaleString("en-US")}`,
        "events",
        [
          batches("COPY into events and keys", size, (c) => copy(c, size, true)),
          batches("COPY into events alone", size, (c) => copy(c, size, false)),
          batches("record_usage", size, (c) => record(c, size)),
        ],
        15,
      ),
    );
  }
  comparisons.push(
    await compare(
      "two connections, batches of 500",
      "events",
      [
        batches("COPY into events and keys, one connection", 500, (c) => copy(c, 500, true)),
        batches("COPY into events and keys, two", 500, (c) => copy(c, 500, true), [sql, second]),
        batches("record_usage, one connection", 500, (c) => record(c, 500)),
        batches("record_usage, two", 500, (c) => record(c, 500), [sql, second]),
      ],
      15,
    ),
  );
  return comparisons;
}

function write(stream: NodeJS.WritableStream, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once("error", reject);
    stream.once("finish", () => resolve());
    stream.end(text);
  });
}
