import { setTimeout as sleep } from "node:timers/promises";
import { type Client, createMeterbase, UnavailableError, type UsageEvent } from "../../src/index.ts";
import { formatTimestamp, type MalformedRow, readTrace, summarizeTrace } from "./trace.ts";
import { zipf } from "./zipf.ts";

export interface ImportOptions {
  /** With the secret key: it writes for tenants of nobody. */
  client: Client;
  path: string;
  /** How many tenants share the rows. */
  tenants: number;
  /** Names the tenants: "<prefix> 01", "<prefix> 02", … */
  prefix?: string;
  plan?: string;
  now?: () => Date;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

export interface ImportResult {
  /** Rows sent, of `rows` in the file that are well-formed. */
  sent: number;
  rows: number;
  accepted: number;
  duplicates: number;
  rejected: number;
  malformed: number;
  /** Tokens of the rows sent, context and generated. */
  tokens: number;
  seconds: number;
  events_per_second: number;
  /** The rows that did not get in, with their line and why. */
  faults: MalformedRow[];
  tenant_ids: string[];
}

const BATCH = 500;
const IN_FLIGHT = 4;

/**
 * Streams a trace into `record_usage`. Time is shifted so that the latest row is now; event ids come from the file's
 * content and the row's line, so a second import, or one after an interruption, adds exactly what is missing.
 */
export async function importTrace(options: ImportOptions): Promise<ImportResult> {
  const { client, path, signal, onProgress = () => {}, now = () => new Date() } = options;
  const started = performance.now();
  const trace = await summarizeTrace(path);
  const shift = now().getTime() * 1000 - trace.lastAt;
  const tenantIds = await ensureTenants(client, options);
  const tenantOf = zipf(tenantIds.length);

  const mb = createMeterbase(client);
  const total = { sent: 0, accepted: 0, duplicates: 0, tokens: 0 };
  const faults = [...trace.malformed];
  const inFlight = new Set<Promise<void>>();

  async function send(
    tenantId: string,
    batch: { line: number; tokens: number; event: UsageEvent }[],
  ): Promise<void> {
    const result = await retrying(
      () =>
        mb.usage.recordUsage(
          tenantId,
          batch.map(({ event }) => event),
        ),
      signal,
    );
    total.sent += batch.length;
    total.tokens += batch.reduce((sum, { tokens }) => sum + tokens, 0);
    total.accepted += result.accepted;
    total.duplicates += result.duplicates;
    for (const { index, reason, field } of result.rejected) {
      faults.push({ line: batch[index]?.line ?? 0, fault: `${reason}${field ? ` (${field})` : ""}` });
    }
    onProgress(total.sent, trace.rows);
  }

  async function dispatch(place: number): Promise<void> {
    const batch = buffers[place] ?? [];
    buffers[place] = [];
    if (batch.length === 0) return;
    if (inFlight.size >= IN_FLIGHT) await Promise.race(inFlight);
    const sending = send(tenantIds[place] as string, batch).finally(() => inFlight.delete(sending));
    sending.catch(() => {}); // awaited below
    inFlight.add(sending);
  }

  const buffers: Parameters<typeof send>[1][] = tenantIds.map(() => []);
  for await (const row of readTrace(path)) {
    if (signal?.aborted) break;
    if ("fault" in row) continue;
    const place = tenantOf(row.line);
    const tokens = row.contextTokens + row.generatedTokens;
    const event: UsageEvent = {
      event_id: `${trace.id}:${row.line}`,
      event_type: "chat_message",
      event_timestamp: formatTimestamp(row.at + shift),
      tokens_consumed: tokens,
      metadata: { prompt_tokens: row.contextTokens, completion_tokens: row.generatedTokens },
    };
    buffers[place]?.push({ line: row.line, tokens, event });
    if (buffers[place]?.length === BATCH) await dispatch(place);
  }
  if (!signal?.aborted) for (const place of tenantIds.keys()) await dispatch(place);
  await Promise.all(inFlight);

  const seconds = (performance.now() - started) / 1000;
  return {
    ...total,
    rows: trace.rows,
    rejected: faults.length - trace.malformed.length,
    malformed: trace.malformed.length,
    seconds: Number(seconds.toFixed(3)),
    events_per_second: Math.round(total.sent / seconds),
    faults: faults.sort((a, b) => a.line - b.line),
    tenant_ids: tenantIds,
  };
}

/** The tenants of an import, by slug: those of an earlier run, and new ones where they are missing. */
async function ensureTenants(client: Client, options: ImportOptions): Promise<string[]> {
  const { tenants: count, prefix = "Trace tenant", plan = "pro" } = options;
  const names = Array.from({ length: count }, (_, i) => `${prefix} ${String(i + 1).padStart(2, "0")}`);
  const slug = (name: string) => name.toLowerCase().replaceAll(" ", "-");
  const ids = new Map<string, string>();
  const page = 100; // they travel in the address of the request
  for (let from = 0; from < names.length; from += page) {
    const slugs = names.slice(from, from + page).map(slug);
    const found = await client.from("tenants").select("id, slug").in("slug", slugs);
    if (found.error) throw new Error(`The tenants cannot be read: ${found.error.message}`);
    for (const tenant of found.data) ids.set(tenant.slug, tenant.id);
  }

  const result: string[] = [];
  for (const name of names) {
    let id = ids.get(slug(name));
    if (!id) {
      const created = await client.rpc("create_tenant", { name, plan_id: plan });
      if (created.error) throw new Error(`The tenant "${name}" cannot be created: ${created.error.message}`);
      id = created.data.id;
    }
    result.push(id);
  }
  return result;
}

/** A batch that may or may not have arrived is sent again: its ids make that safe. */
async function retrying<T>(call: () => Promise<T>, signal?: AbortSignal, attempts = 6): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof UnavailableError) || attempt === attempts || signal?.aborted) throw error;
      await sleep(200 * 2 ** attempt);
    }
  }
}
