import Table from "cli-table3";

export interface Variant {
  name: string;
  /** Makes what `run` needs, outside of the time that is measured. */
  prepare?: () => Promise<void>;
  /** Does `operations` of what is measured. */
  run: () => Promise<void>;
  operations: number;
}

export interface Comparison {
  title: string;
  unit: string;
  /** Operations a second, median over the rounds; milliseconds of one; ratio of the rate to the first variant's of its round. */
  results: { name: string; per_second: number; ms: number; ratio: number }[];
}

/** Runs the variants in turn, round after round, so that whatever slows the machine slows all of them. */
export async function compare(
  title: string,
  unit: string,
  variants: Variant[],
  rounds = 5,
): Promise<Comparison> {
  if (rounds > 1) {
    for (const variant of variants) {
      await variant.prepare?.();
      await variant.run(); // warm plans and caches
    }
  }
  const rates = variants.map(() => [] as number[]);
  console.error(`${title} …`);
  for (let round = 0; round < rounds; round++) {
    for (const [i, variant] of variants.entries()) {
      await variant.prepare?.();
      const started = performance.now();
      await variant.run();
      rates[i]?.push((variant.operations * 1000) / (performance.now() - started));
    }
  }
  const base = rates[0] as number[];
  return {
    title,
    unit,
    results: variants.map(({ name }, i) => {
      const own = rates[i] as number[];
      return {
        name,
        per_second: Number(median(own).toPrecision(4)),
        ms: Number((1000 / median(own)).toPrecision(3)),
        ratio: Number(median(own.map((rate, round) => rate / (base[round] as number))).toPrecision(3)),
      };
    }),
  };
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

export function render({ title, unit, results }: Comparison): string {
  const table = new Table({
    head: [title, `${unit}/s`, "ms each", "ratio"],
    colAligns: ["left", "right", "right", "right"],
    style: { head: [] },
  });
  for (const { name, per_second, ms, ratio } of results)
    table.push([name, per_second.toLocaleString("en-US"), ms.toLocaleString("en-US"), ratio]);
  return table.toString();
}
