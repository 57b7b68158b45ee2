import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Argument, Command } from "commander";
import postgres from "postgres";
import { startDatabase } from "./stack/database.ts";
import { projectRoot } from "./stack/migrate.ts";
import type { PostgresKind } from "./stack/postgres.ts";

const PGTAP = "/usr/share/postgresql/15/extension/pgtap--1.2.0.sql";

const program = new Command("sql_tests")
  .description("Run the pgTAP tests (all of them, or the given files and folders) on a fresh database.")
  .addArgument(new Argument("<postgres>").choices(["system", "embedded"]))
  .argument("[paths...]", "test files or folders", [join(projectRoot, "supabase/tests")])
  .parse();
const [kind, paths] = program.processedArgs as [PostgresKind, string[]];

const database = await startDatabase({ postgres: kind });
try {
  await prepare(database.databaseUrl);
  process.exitCode = await prove(database.databaseUrl, paths);
} finally {
  await database.stop();
}

/** Adds pgTAP, as an extension or as the plain SQL that it is, and the tests' helpers. */
async function prepare(databaseUrl: string): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  const [pgtap] =
    await sql`select exists (select from pg_available_extensions where name = 'pgtap') as available`;
  if (pgtap?.available) {
    await sql`create extension pgtap with schema extensions`;
  } else {
    const text = (await readFile(PGTAP, "utf8")).replace(/^\\echo.*$/m, "");
    await sql.unsafe(`set search_path = extensions; ${text}; reset search_path`);
  }
  await sql.unsafe(await readFile(join(projectRoot, "tests/helpers/pgtap.sql"), "utf8"));
  await sql.end();
}

/** Each file runs in a transaction of its own that it rolls back. */
function prove(databaseUrl: string, paths: string[]): Promise<number> {
  const url = new URL(databaseUrl);
  const child = spawn("pg_prove", ["--recurse", "--ext", ".sql", ...paths], {
    stdio: "inherit",
    env: {
      ...process.env,
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: url.password,
      PGDATABASE: url.pathname.slice(1),
      PGOPTIONS: "-c search_path=public,extensions",
    },
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
