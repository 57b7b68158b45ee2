import { readFile, rename, rm, writeFile } from "node:fs/promises";
import type { Journal, Pending } from "./delivery_buffer.ts";

/** A journal in a file, for Node, Deno and Bun. One process a file. */
export function fileJournal<Item>(path: string): Journal<Item> {
  return {
    async load() {
      try {
        return JSON.parse(await readFile(path, "utf8")) as Pending<Item>[];
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    },
    async save(pending) {
      if (pending.length === 0) return rm(path, { force: true });
      await writeFile(`${path}.new`, JSON.stringify(pending));
      await rename(`${path}.new`, path); // whole or not at all
    },
  };
}
