import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { projectRoot } from "../../scripts/stack/migrate.ts";
import type { StackInfo } from "../../scripts/stack/stack.ts";

/** The process behind `npm run stack`. */
export interface Starter {
  child: ChildProcess;
  /** The temporary folder that it sees, its own: what appears there is its doing. */
  folder: string;
  stdout(): string;
  stderr(): string;
  /** Its exit code, or null when a signal ended it. */
  ended: Promise<number | null>;
}

const starters: Starter[] = [];

/** Waits until the assertion holds. */
export const eventually = <T>(assertion: () => T | Promise<T>, timeout = 20_000, interval = 20): Promise<T> =>
  vi.waitFor(assertion, { timeout, interval });

/** Starts one in the checkout, or in another folder that holds the same. */
export async function launch(args: string[], cwd = projectRoot): Promise<Starter> {
  const folder = await temporaryFolder();
  await chmod(folder, 0o1777); // as /tmp is: Postgres is another user where the tests run as root
  const child = spawn(process.execPath, ["--import", "tsx", "scripts/stack/main.ts", ...args], {
    cwd,
    env: { ...process.env, TMPDIR: folder, DATABASE_URL: "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].on("data", (chunk: Buffer) => {
      output[name] += chunk.toString();
    });
  }
  const ended = once(child, "close").then(([code]) => code as number | null);
  const starter = { child, folder, ended, stdout: () => output.stdout, stderr: () => output.stderr };
  starters.push(starter);
  return starter;
}

/** Starts one on a free port and waits until it has said that it is ready. */
export async function launchReady(args: string[] = [], cwd?: string) {
  const starter = await launch(["--port", "0", ...args], cwd);
  const failed = starter.ended.then((code) => {
    throw new Error(`The stack ended with ${code}:\n${starter.stderr()}`);
  });
  await Promise.race([eventually(() => expect(starter.stdout()).toContain("\n"), 60_000), failed]);
  return { starter, info: JSON.parse(starter.stdout()) as StackInfo };
}

/** Sends the signal and returns the exit code once nothing is left, no process and no folder. */
export async function end(starter: Starter, signal: NodeJS.Signals): Promise<number | null> {
  const known = await processesOf(starter);
  starter.child.kill(signal);
  const code = await starter.ended;
  // Whoever was asked to stop has tidied up when it ends; after a SIGKILL its guards still have to.
  if (signal !== "SIGKILL") expect(await clusters(starter)).toEqual([]);
  await expectNothingLeft(starter, known);
  return code;
}

export async function expectNothingLeft(starter: Starter, known: Process[] = []): Promise<void> {
  await eventually(async () => expect(await clusters(starter)).toEqual([]));
  await eventually(async () => {
    expect((await processesOf(starter, known)).map(({ pid, args }) => `${pid} ${args}`)).toEqual([]);
  });
}

/** Ends what a failed test has left running (its guards end the rest), and removes every folder made here. */
export async function cleanUp(): Promise<void> {
  for (const { child } of starters) child.kill("SIGKILL");
  await Promise.all(starters.map(({ ended }) => ended));
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 10 });
}

/** The folders that a starter has made for its Postgres. */
export async function clusters({ folder }: Starter): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.startsWith("meterbase-"));
}

/** A copy of what the platform consists of, to be changed. */
export async function copyOfCheckout(): Promise<string> {
  const copy = await temporaryFolder();
  for (const path of ["package.json", "deno.json", "tsconfig.json", "scripts/stack", "supabase"]) {
    await cp(join(projectRoot, path), join(copy, path), { recursive: true });
  }
  await symlink(join(projectRoot, "node_modules"), join(copy, "node_modules"));
  return copy;
}

const folders: string[] = [];

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "meterbase-stack-test-"));
  folders.push(folder);
  return folder;
}

interface Process {
  pid: string;
  parent: string;
  /** Tells it from a later process of the same number. */
  startedAt: string;
  args: string;
  environment: string;
}

/** The processes of a starter: those that name its folder, those known before, and what descends from them. */
export async function processesOf({ folder }: Starter, known: Process[] = []): Promise<Process[]> {
  const all = await allProcesses();
  const isKnown = ({ pid, startedAt }: Process) =>
    known.some((other) => other.pid === pid && other.startedAt === startedAt);
  const own = new Set(
    all.filter((one) => one.args.includes(folder) || one.environment.includes(folder) || isKnown(one)),
  );
  for (let size = 0; size < own.size; ) {
    size = own.size;
    const pids = new Set([...own].map(({ pid }) => pid));
    for (const one of all) if (pids.has(one.parent)) own.add(one);
  }
  return [...own];
}

async function allProcesses(): Promise<Process[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = pids.map(async (pid): Promise<Process[]> => {
    const read = async (name: string) =>
      (await readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")).replaceAll("\0", " ");
    const [stat, args, environment] = await Promise.all([read("stat"), read("cmdline"), read("environ")]);
    const [state, parent = "", ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (stat === "" || state === "Z") return []; // gone, or waiting to be forgotten
    return [{ pid, parent, startedAt: rest[17] ?? "", args, environment }];
  });
  return (await Promise.all(found)).flat();
}
