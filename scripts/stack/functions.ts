import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { projectRoot } from "./migrate.ts";
import { freePort, run, startGuarded } from "./process.ts";

const DENO_NOISE = /^(Watcher |deno serve: )/;

/** The Deno binary itself: its npm launcher would not pass a signal on. */
export async function denoBin(): Promise<string> {
  const packageDir = dirname(createRequire(import.meta.url).resolve("deno/package.json"));
  const binary = join(packageDir, process.platform === "win32" ? "deno.exe" : "deno");
  if (!existsSync(binary)) await run(process.execPath, [join(packageDir, "bin.cjs"), "--version"]);
  return binary;
}

/** Serves the edge functions by Deno and starts them anew when a file of theirs changes. */
export async function startFunctions(
  env: Record<string, string>,
  signal?: AbortSignal,
): Promise<{ url: string; stop(): Promise<void> }> {
  const port = await freePort();
  const serve = ["serve", "--host", "127.0.0.1", "--port", String(port), "--no-prompt", "--no-clear-screen"];
  const permissions = ["--allow-net", "--allow-env", "--allow-read"];
  const reload = [`--watch=${join(projectRoot, "supabase/functions")}`];
  const guarded = startGuarded(
    await denoBin(),
    [...serve, ...permissions, ...reload, "scripts/stack/functions_router.ts"],
    // While it watches, Deno outlives a SIGTERM: it would wait for the next change of a file.
    { signal: "KILL", cwd: projectRoot, env: { ...process.env, ...env, NO_COLOR: "1" } },
  );
  for (const output of [guarded.child.stdout, guarded.child.stderr]) {
    if (output) createInterface(output).on("line", (line) => DENO_NOISE.test(line) || console.error(line));
  }

  const url = `http://127.0.0.1:${port}`;
  let ended = false;
  guarded.exited.finally(() => {
    ended = true;
  });
  // A function that does not compile leaves Deno waiting for its next change.
  const deadline = Date.now() + 60_000;
  while (!(await answers(url))) {
    if (ended || signal?.aborted || Date.now() > deadline) {
      await guarded.stop();
      signal?.throwIfAborted();
      throw new Error(`The edge functions did not start:\n${guarded.output()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { url, stop: guarded.stop };
}

async function answers(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).body?.cancel();
    return true;
  } catch {
    return false;
  }
}
