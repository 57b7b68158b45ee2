import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

// Handed over as text: another user, who may run it, cannot always read the checkout.
const guard = readFileSync(new URL("guard.sh", import.meta.url), "utf8");

export interface GuardedOptions {
  /** Sent to the command when it is stopped, or when this process is gone. */
  signal?: "TERM" | "INT" | "KILL";
  /** Removed once the command has ended. */
  removeDir?: string;
  user?: { uid: number; gid: number } | undefined;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
}

export interface Guarded {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  /** The last lines it printed, for error messages. */
  output(): string;
  stop(): Promise<void>;
}

/** Starts a command that cannot outlive this process: see guard.sh. */
export function startGuarded(command: string, args: string[], options: GuardedOptions = {}): Guarded {
  const argv = ["guard", options.signal ?? "TERM", options.removeDir ?? "", command, ...args];
  const child = spawn("sh", ["-c", guard, ...argv], {
    // Its own process group: Ctrl-C reaches us alone, and we stop it in order.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: options.env ?? process.env,
    ...(options.cwd && { cwd: options.cwd }),
    ...options.user,
  });
  let tail = "";
  const keep = (chunk: Buffer) => {
    tail = (tail + chunk.toString()).slice(-4_000);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  child.stdin.on("error", () => {}); // it may end before we close our side
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code));
  });
  return {
    child,
    exited,
    output: () => tail.trim(),
    async stop() {
      child.stdin.end();
      await exited;
    },
  };
}

/** Runs a guarded command to its end, or until `abort`, and returns its standard output. */
export async function run(
  command: string,
  args: string[],
  { abort, ...options }: GuardedOptions & { abort?: AbortSignal | undefined } = {},
): Promise<string> {
  abort?.throwIfAborted();
  const guarded = startGuarded(command, args, options);
  abort?.addEventListener("abort", guarded.stop, { once: true });
  let stdout = "";
  guarded.child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  const code = await guarded.exited;
  abort?.removeEventListener("abort", guarded.stop);
  if (code !== 0) throw new Error(`${command} ${args[0] ?? ""} ended with ${code}:\n${guarded.output()}`);
  return stdout;
}

/** A TCP port of the loopback interface that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
