import { spawn } from "node:child_process";
import { join } from "node:path";
import { Command } from "commander";
import { denoBin } from "./stack/functions.ts";
import { projectRoot } from "./stack/migrate.ts";

const { full } = new Command("test")
  .description("Run the checks and every test: pgTAP on Postgres 15 and 17, the edge functions', vitest.")
  .option("--full", "with the large counts")
  .parse()
  .opts<{ full?: boolean }>();

const node = (...args: string[]) => [process.execPath, "--import", "tsx", ...args];
const steps: [name: string, command: string[]][] = [
  ["Debian packages", ["sh", "scripts/install-debian.sh"]],
  ["checks", node("scripts/check.ts")],
  ["pgTAP on Postgres 15 with pg_cron", node("scripts/sql_tests.ts", "system")],
  ["pgTAP on Postgres 17", node("scripts/sql_tests.ts", "embedded")],
  [
    "edge functions",
    [await denoBin(), "test", "--no-prompt", "--allow-env", "--allow-read", "supabase/functions"],
  ],
  ["vitest", [process.execPath, join(projectRoot, "node_modules/vitest/vitest.mjs"), "run"]],
];

const env = { ...process.env, ...(full && { METERBASE_TEST_SCALE: "full" }) };
const started = performance.now();
const failed: string[] = [];
let passed = 0;
for (const [name, command] of steps) {
  console.log(`\n── ${name}`);
  const { code, output } = await runStep(command);
  passed += countPassed(output);
  if (code !== 0) failed.push(name);
}

console.log(`\n${((performance.now() - started) / 1000).toFixed(0)} s`);
if (failed.length > 0) console.log(`failed: ${failed.join(", ")}`);
console.log(`${passed} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;

/** Runs a command, shows what it prints and keeps it. */
function runStep([file, ...args]: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(file as string, args, { cwd: projectRoot, env, stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    process.stdout.write(chunk);
    output += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, output }));
  });
}

/** The tests that a runner's summary counts: pg_prove's assertions, Deno's and vitest's tests. */
function countPassed(output: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours
  const plain = output.replace(/\u001b\[\d*m/g, "");
  const counts = [/^Files=\d+, Tests=(\d+)/m, /^ok \| (\d+) passed/m, /^\s+Tests\s.*?(\d+) passed/m];
  return counts.reduce((sum, pattern) => sum + Number(pattern.exec(plain)?.[1] ?? 0), 0);
}
