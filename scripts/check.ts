import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import pc from "picocolors";
import { staleFiles } from "./generate.ts";
import { startDatabase } from "./stack/database.ts";
import { denoBin } from "./stack/functions.ts";
import { projectRoot, supabase } from "./stack/migrate.ts";

/** Runs one check; what it throws is its report. */
async function check(name: string, run: () => unknown): Promise<boolean> {
  try {
    await run();
    console.log(`${pc.green("✓")} ${name}`);
    return true;
  } catch (error) {
    console.log(`${pc.red("✗")} ${name}\n${error instanceof Error ? error.message : error}`);
    return false;
  }
}

function command(file: string, args: string[]): void {
  const result = spawnSync(file, args, { cwd: projectRoot, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${result.stdout}${result.stderr}`.trim());
}
const bin = (name: string) => join(projectRoot, "node_modules/.bin", name);
const migrations = readdirSync(join(projectRoot, "supabase/migrations"))
  .filter((file) => file.endsWith(".sql"))
  .map((file) => join("supabase/migrations", file));

const results = [
  await check("format and lint (biome)", () =>
    command(bin("biome"), ["ci", "--error-on-warnings", "--colors=off"]),
  ),
  await check("types (tsc)", () => command(bin("tsc"), ["--noEmit"])),
  await check("types of the edge functions (deno)", async () =>
    command(await denoBin(), ["check", "supabase/functions", "scripts/stack/functions_router.ts"]),
  ),
  await check("migrations (squawk)", () => command(bin("squawk"), migrations)),
];

command("sh", ["scripts/install-debian.sh"]);
const { databaseUrl, stop } = await startDatabase({ postgres: "system" });
try {
  results.push(
    await check("generated files", async () => {
      const stale = await staleFiles(databaseUrl);
      if (stale.length > 0) throw new Error(`${stale.join(", ")}: not up to date; run npm run generate`);
    }),
    await check("supabase db lint", () =>
      supabase(databaseUrl, ["db", "lint", "--level", "warning", "--fail-on", "warning"]),
    ),
    await check("supabase db advisors", () =>
      supabase(databaseUrl, ["db", "advisors", "--level", "warn", "--fail-on", "warn"]),
    ),
  );
} finally {
  await stop();
}
process.exitCode = results.every(Boolean) ? 0 : 1;
