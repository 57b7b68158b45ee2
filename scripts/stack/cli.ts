import { InvalidArgumentError, Option } from "commander";
import type { PostgresKind } from "./postgres.ts";
import { DEFAULT_PORT } from "./settings.ts";
import { type Stack, type StackOptions, startStack } from "./stack.ts";

/** The options that every command which starts the platform takes. */
export const postgresOption = new Option(
  "--postgres <kind>",
  "embedded: Postgres 17 from npm; system: Debian's Postgres 15 with pg_cron (DATABASE_URL, when set, wins)",
)
  .choices(["embedded", "system"])
  .default("embedded");

export function portOption(standard = DEFAULT_PORT): Option {
  return new Option("--port <number>", "port of the API; 0 takes any free one")
    .default(standard)
    .argParser((text) => {
      const port = Number(text);
      if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgumentError("0 to 65535");
      return port;
    });
}

export interface PlatformOptions {
  postgres: PostgresKind;
  port: number;
}

/**
 * Starts the platform, hands it to `use`, and stops it when `use` is done or the process is told to end,
 * however far the start has come.
 */
export async function withStack(
  options: PlatformOptions,
  use: (stack: Stack, signal: AbortSignal) => Promise<void>,
): Promise<never> {
  const controller = new AbortController();
  const { signal } = controller;
  const stopped = untilStopped(signal);
  const abort = () => {
    if (signal.aborted) process.exit(1); // told twice: at once; guard.sh tidies up
    controller.abort(new Error("stopped"));
  };
  process.on("SIGINT", abort);
  process.on("SIGTERM", abort);
  const stackOptions: StackOptions = {
    ...options,
    databaseUrl: process.env.DATABASE_URL || undefined,
    log: (line) => console.error(`· ${line}`),
    signal,
  };
  try {
    const stack = await startStack(stackOptions);
    try {
      await Promise.race([use(stack, signal), stopped]);
    } finally {
      await stack.stop();
    }
  } catch (error) {
    if (!signal.aborted) {
      console.error(error instanceof Error ? error.message : error);
      process.exitCode = 1;
    }
  }
  process.exit();
}

/** Resolves when the process is told to end. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
