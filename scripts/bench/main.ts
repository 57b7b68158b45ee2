import { Argument, Command } from "commander";
import postgres from "postgres";
import { startDatabase } from "../stack/database.ts";
import { type Comparison, render } from "./compare.ts";
import { benchQuota } from "./quota.ts";
import { benchUsage } from "./usage.ts";

const program = new Command("bench")
  .description("Measure side by side, in one run on one throwaway database whose commits wait for the disk.")
  .addArgument(new Argument("[what]", "by default all").choices(["quota", "usage"]))
  .option("--json", "print JSON instead of tables")
  .parse();
const what = program.args[0];

const database = await startDatabase({ flush: true });
const connect = () => postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
const sql = connect();
const others = Array.from({ length: 8 }, connect);
const comparisons: Comparison[] = [];
try {
  if (what !== "usage") comparisons.push(...(await benchQuota(sql, others)));
  if (what !== "quota") comparisons.push(...(await benchUsage(sql)));
} finally {
  await Promise.all([sql, ...others].map((connection) => connection.end()));
  await database.stop();
}
console.log(
  program.opts<{ json?: boolean }>().json ? JSON.stringify(comparisons) : comparisons.map(render).join("\n"),
);
