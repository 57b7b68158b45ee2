import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { run } from "./process.ts";

export const projectRoot = fileURLToPath(new URL("../../", import.meta.url));

const cli = createRequire(import.meta.url).resolve("supabase/dist/supabase.js");

/** Runs the Supabase CLI on a database and returns its standard output. */
export function supabase(databaseUrl: string, args: string[], abort?: AbortSignal): Promise<string> {
  const remote = new URL(databaseUrl);
  if (!remote.searchParams.has("sslmode") && ["127.0.0.1", "localhost", "[::1]"].includes(remote.hostname)) {
    remote.searchParams.set("sslmode", "disable");
  }
  return run(process.execPath, [cli, ...args, `--remote=${remote}`], {
    abort,
    cwd: projectRoot,
    env: { ...process.env, SUPABASE_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1" },
  });
}

/** Applies the migrations that the database does not have yet, then `supabase/seed.sql`. */
export async function migrate(databaseUrl: string, abort?: AbortSignal): Promise<void> {
  await supabase(databaseUrl, ["db", "push", "--include-seed", "--yes"], abort);
}
