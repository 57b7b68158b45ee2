import postgres from "postgres";

interface QueuedRequest {
  id: string;
  method: string;
  url: string;
  params: Record<string, string>;
  headers: Record<string, string>;
  body: string | null;
  timeout_milliseconds: number;
}

/** As pg_net.batch_size is unless it is set. */
const BATCH_SIZE = 200;

/**
 * Sends what `net.http_post` and `net.http_get` queue where platform.sql stands in for pg_net, and keeps the answers in
 * `net._http_response`. Like the extension it tries once, sends what it finds together, and takes no more until all of that
 * is answered: one that takes its time holds up all others. Does nothing where the extension is installed.
 */
export async function startNet(databaseUrl: string): Promise<{ stop(): Promise<void> }> {
  const sql = postgres(databaseUrl, { max: 2, onnotice: () => {} });
  const [standIn] = await sql`
    select not exists (select from pg_extension where extname = 'pg_net')
      and to_regclass('net.http_request_queue') is not null as present`;
  if (!standIn?.present) return { stop: () => sql.end() };

  const stopping = new AbortController();

  async function send(request: QueuedRequest): Promise<void> {
    const { id, method, params, headers, body, timeout_milliseconds } = request;
    try {
      const url = new URL(request.url);
      for (const [name, value] of Object.entries(params)) url.searchParams.append(name, value);
      const signal = AbortSignal.any([AbortSignal.timeout(timeout_milliseconds), stopping.signal]);
      const response = await fetch(url, { method, headers, body, signal });
      const content = await response.text();
      await sql`
        insert into net._http_response (id, status_code, content_type, content, timed_out)
        values (${id}, ${response.status}, ${response.headers.get("content-type")}, ${content}, false)`;
    } catch (error) {
      const isLate = error instanceof Error && error.name === "TimeoutError";
      await sql`
        insert into net._http_response (id, timed_out, error_msg) values (${id}, ${isLate}, ${String(error)})`;
    }
  }

  const take = () => sql<QueuedRequest[]>`
    delete from net.http_request_queue
    where id in (select id from net.http_request_queue order by id limit ${BATCH_SIZE})
    returning *`;
  const running = (async () => {
    while (!stopping.signal.aborted) {
      // A database that restarts, or is going away with the platform, is asked again.
      const requests = await take().catch(() => []);
      await Promise.allSettled(requests.map(send));
      if (requests.length < BATCH_SIZE) await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  return {
    stop: async () => {
      stopping.abort(); // a function may take its time to answer
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 1_000))]);
      await sql.end({ timeout: 1 });
    },
  };
}

/** Keeps secrets in the Vault of a project, instead of those that have these names. */
export async function keepSecrets(databaseUrl: string, secrets: Record<string, string>): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    for (const [name, secret] of Object.entries(secrets)) {
      const [known] = await sql`select id from vault.secrets where name = ${name}`;
      if (known) await sql`select vault.update_secret(${known.id}, ${secret})`;
      else await sql`select vault.create_secret(${secret}, ${name})`;
    }
  } finally {
    await sql.end();
  }
}

/** Has the database wake the delivery of its outbox, as its schedule does. */
export async function wakeDelivery(databaseUrl: string): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`select private.wake_delivery()`;
  } finally {
    await sql.end();
  }
}
