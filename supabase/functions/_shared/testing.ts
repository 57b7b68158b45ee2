/** What is logged while something runs. */
export async function logged<T>(
  run: () => Promise<T>,
): Promise<{ result: T; lines: Record<string, unknown>[] }> {
  const lines: Record<string, unknown>[] = [];
  const levels = ["info", "warn", "error"] as const;
  const before = levels.map((level) => console[level]);
  for (const level of levels) console[level] = (line: string) => void lines.push(JSON.parse(line));
  try {
    return { result: await run(), lines };
  } finally {
    for (const [i, level] of levels.entries()) console[level] = before[i] ?? console[level];
  }
}

/** Writes of a data API that is not to be written to. */
export const noWrites = {
  insert: () => Promise.reject(new Error("adds no row")),
  update: () => Promise.reject(new Error("changes no row")),
  remove: () => Promise.reject(new Error("deletes no row")),
};
