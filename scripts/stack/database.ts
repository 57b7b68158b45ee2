import { readFile } from "node:fs/promises";
import postgres from "postgres";
import { createAuthSchema } from "./api.ts";
import { migrate } from "./migrate.ts";
import { type ClusterOptions, type PostgresKind, startPostgres } from "./postgres.ts";

/** `flush` and `restarts` are those of the throwaway cluster. */
export interface DatabaseOptions extends ClusterOptions {
  postgres?: PostgresKind;
  /** Uses this database instead of a throwaway cluster. */
  databaseUrl?: string | undefined;
  log?: (line: string) => void;
  /** Aborted: what has started is stopped again, and the start fails. */
  signal?: AbortSignal;
}

export interface Database {
  databaseUrl: string;
  /** Of the throwaway cluster. */
  dataDir?: string;
  stop(): Promise<void>;
}

/** A database as a Supabase project has it, with Meterbase's migrations and seed applied. */
export async function startDatabase(options: DatabaseOptions = {}): Promise<Database> {
  const { log = () => {}, postgres: kind = "embedded", signal } = options;
  log(options.databaseUrl ? "using the database of DATABASE_URL" : `starting Postgres (${kind})`);
  const cluster = options.databaseUrl
    ? { databaseUrl: options.databaseUrl, stop: async () => {} }
    : await startPostgres(kind, options);
  try {
    signal?.throwIfAborted();
    const sql = postgres(cluster.databaseUrl, { max: 1, onnotice: () => {} });
    try {
      const [auth, extensions] = await sql`
        select to_regclass('auth.users') is not null as present
        union all select to_regnamespace('extensions') is not null`;
      if (!auth?.present) await createAuthSchema(cluster.databaseUrl);
      // A Supabase project has this schema, and so has a database that was prepared before: nothing to add to either.
      if (!extensions?.present) {
        await sql.unsafe(await readFile(new URL("platform.sql", import.meta.url), "utf8"));
      }
    } finally {
      await sql.end();
    }
    log("applying migrations (supabase db push)");
    await migrate(cluster.databaseUrl, signal);
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}
