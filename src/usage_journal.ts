import type { UsageEvent } from "./usage.ts";

/** An event that the database has not acknowledged yet. */
export interface PendingEvent {
  tenantId: string;
  event: UsageEvent;
}

/** Where pending events outlive the process while the database is out of reach. */
export interface UsageJournal {
  /** What was kept last; nothing the first time. */
  load(): Promise<PendingEvent[]>;
  /** Keeps exactly these. */
  save(pending: PendingEvent[]): Promise<void>;
}

/** A journal in a file (Node, Deno, Bun). One process a file. */
export function fileJournal(path: string): UsageJournal {
  return {
    async load() {
      const { readFile } = await import("node:fs/promises");
      try {
        return JSON.parse(await readFile(path, "utf8")) as PendingEvent[];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    },
    async save(pending) {
      const { rename, rm, writeFile } = await import("node:fs/promises");
      if (pending.length === 0) return rm(path, { force: true });
      await writeFile(`${path}.new`, JSON.stringify(pending));
      await rename(`${path}.new`, path); // whole or not at all
    },
  };
}
