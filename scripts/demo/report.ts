import Table from "cli-table3";
import pc from "picocolors";
import type { DemoResult } from "./scenario.ts";

const number = (value: number) => value.toLocaleString("en-US");

/** Usage and quota per tenant, for a terminal. */
export function renderReport(result: DemoResult): string {
  const table = new Table({
    head: ["tenant", "plan", "events", "tokens", "cost", "quota used"].map((text) => pc.bold(text)),
    colAligns: ["left", "left", "right", "right", "right", "left"],
    style: { head: [], border: [] },
  });
  for (const row of result.usage) {
    const quota = result.quota
      .filter((entry) => entry.tenant === row.tenant && entry.used > 0)
      .map(renderQuota);
    const cost = row.cost ? `$${row.cost.toFixed(4)}` : "";
    table.push([
      row.tenant,
      row.plan,
      number(row.events),
      number(row.tokens),
      cost,
      quota.join("\n") || pc.dim("none"),
    ]);
  }
  return table.toString();
}

function renderQuota(entry: DemoResult["quota"][number]): string {
  const paint = { ok: pc.blue, warning: pc.yellow, critical: pc.red }[entry.band];
  const limit = entry.limit_value === null ? "∞" : number(entry.limit_value);
  const filled = Math.min(10, Math.round((entry.percentage ?? 0) / 10));
  const bar = paint("█".repeat(filled)) + pc.dim("░".repeat(10 - filled));
  const window = entry.period === "none" ? "" : ` a ${entry.period}`;
  return `${bar} ${number(entry.used)} of ${limit} ${entry.metric.replaceAll("_", " ")}${window}`;
}
