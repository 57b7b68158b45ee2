import { SingleBar } from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { DEFAULT_PORT, SECRET_KEY } from "../stack/settings.ts";
import { supabaseClient } from "../supabase_client.ts";
import { type ImportResult, importTrace } from "./import_trace.ts";

const SHOWN_FAULTS = 20;

const program = new Command("import")
  .description(
    "Import a language model trace (TIMESTAMP,ContextTokens,GeneratedTokens) as usage events, over HTTP.",
  )
  .argument("<file.csv>")
  .option("--tenants <number>", "how many tenants share the rows", positiveInteger, 50)
  .option("--url <url>", "of the project", process.env.SUPABASE_URL || `http://127.0.0.1:${DEFAULT_PORT}`)
  .option("--key <key>", "the project's secret key (default: SUPABASE_SECRET_KEY, else the local platform's)")
  .option("--json", "print the result as one JSON object")
  .parse();
const options = program.opts<{ tenants: number; url: string; key?: string; json?: boolean }>();

const controller = new AbortController();
process.on("SIGINT", () => controller.abort());
process.on("SIGTERM", () => controller.abort());

const bar = new SingleBar({ format: "{bar} {percentage}% | {value}/{total} events | {eta_formatted} left" });
let isBarShown = false;
try {
  const result = await importTrace({
    client: supabaseClient(options.url, options.key || process.env.SUPABASE_SECRET_KEY || SECRET_KEY),
    path: program.args[0] as string,
    tenants: options.tenants,
    signal: controller.signal,
    onProgress(done, total) {
      if (!process.stderr.isTTY) return;
      if (!isBarShown) bar.start(total, 0);
      isBarShown = true;
      bar.update(done);
    },
  });
  if (isBarShown) bar.stop();
  report(result);
  if (controller.signal.aborted) process.exitCode = 130;
} catch (error) {
  if (isBarShown) bar.stop();
  console.error(`import: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
process.exit();

function report(result: ImportResult): void {
  for (const { line, fault } of result.faults.slice(0, SHOWN_FAULTS)) console.error(`line ${line}: ${fault}`);
  if (result.faults.length > SHOWN_FAULTS) console.error(`… and ${result.faults.length - SHOWN_FAULTS} more`);
  if (options.json) {
    console.log(JSON.stringify(result));
    return;
  }
  const number = (value: number) => value.toLocaleString("en-US");
  console.log(
    [
      result.sent < result.rows &&
        `stopped after ${number(result.sent)} of ${number(result.rows)} rows; run it again to go on`,
      `accepted    ${number(result.accepted)}`,
      `duplicates  ${number(result.duplicates)}`,
      `rejected    ${number(result.rejected)}`,
      `malformed   ${number(result.malformed)}`,
      `tokens      ${number(result.tokens)}`,
      `${number(result.events_per_second)} events/s over ${options.tenants} tenants in ${result.seconds} s`,
    ]
      .filter(Boolean)
      .join("\n"),
  );
}

function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 10_000) throw new InvalidArgumentError("1 to 10000");
  return value;
}
