import { createConnection, type Socket } from "node:net";
import { Argument, Command } from "commander";
import postgres from "postgres";
import { startDatabase } from "../stack/database.ts";
import { benchAccess } from "./access.ts";
import { benchBilling, type Database } from "./billing.ts";
import { type Latency, renderLatency } from "./billing_latency.ts";
import { type Comparison, render } from "./compare.ts";
import { benchQuota } from "./quota.ts";
import { benchRateLimiters } from "./rate_limiters.ts";
import { benchIngest } from "./usage_ingest.ts";
import { benchRollups } from "./usage_rollups.ts";

const program = new Command("bench")
  .description("Measure side by side, in one run on one throwaway cluster whose commits wait for the disk.")
  .addArgument(new Argument("[what]", "by default all").choices(["access", "billing", "quota", "usage"]))
  .option("--events <millions>", "size of the large history of usage; the small one is a tenth", Number, 10)
  .option("--json", "print JSON instead of tables")
  .parse();
const what = program.args[0];
const { events, json } = program.opts<{ events: number; json?: boolean }>();

const { databaseUrl, stop } = await startDatabase({ flush: true });
const connect = (url: string) => {
  const { hostname, port } = new URL(url);
  // Without delay: as it comes, a COPY, which is several small packets, would wait 40 ms for each acknowledgement.
  const socket = () =>
    new Promise<Socket>((resolve, reject) => {
      const tcp = createConnection({ host: hostname, port: Number(port), noDelay: true }, () => resolve(tcp));
      tcp.once("error", reject);
    });
  return postgres(url, { max: 1, onnotice: () => {}, socket } as postgres.Options<Record<string, never>>);
};
const comparisons: (Comparison | Latency)[] = [];
try {
  const measures = (part: string) => what === undefined || what === part;
  if (measures("access")) {
    const connections = Array.from({ length: 32 }, () => connect(databaseUrl));
    comparisons.push(...(await benchAccess(connections)));
    await Promise.all(connections.map((connection) => connection.end()));
  }
  if (measures("billing")) {
    const urls = await copies(databaseUrl, ["billing", "few", "many"]);
    const [billing, few, many] = [urls.billing, urls.few, urls.many].map((url) => ({
      sql: connect(url),
      url,
    })) as [Database, Database, Database];
    comparisons.push(...(await benchBilling({ billing, few, many })));
    await Promise.all([billing, few, many].map(({ sql }) => sql.end()));
  }
  if (measures("quota")) {
    const sqls = Array.from({ length: 9 }, () => connect(databaseUrl));
    const [sql, ...others] = sqls as [postgres.Sql, ...postgres.Sql[]];
    comparisons.push(...(await benchQuota(sql, others)));
    await Promise.all(sqls.map((connection) => connection.end()));
    comparisons.push(...(await benchRateLimiters(databaseUrl)));
  }
  if (measures("usage")) {
    // Copies of the database as it is now, so that each part has one of its own, and all are there at the same time.
    const urls = await copies(databaseUrl, ["ingest", "small", "large"]);
    const [first, second, small, large] = [urls.ingest, urls.ingest, urls.small, urls.large].map(connect) as [
      postgres.Sql,
      postgres.Sql,
      postgres.Sql,
      postgres.Sql,
    ];
    comparisons.push(...(await benchIngest(first, second)));
    comparisons.push(
      ...(await benchRollups({ sql: small, events: events * 1e5 }, { sql: large, events: events * 1e6 })),
    );
    await Promise.all([first, second, small, large].map((connection) => connection.end()));
  }
} finally {
  await stop();
}
const table = (result: Comparison | Latency) => ("unit" in result ? render(result) : renderLatency(result));
console.log(json ? JSON.stringify(comparisons) : comparisons.map(table).join("\n"));

/** The urls of databases of those names, made as copies of this one. */
async function copies<Name extends string>(url: string, names: Name[]): Promise<Record<Name, string>> {
  const at = (name: string) => url.replace(/[^/]*$/, name);
  const source = new URL(url).pathname.slice(1);
  const admin = connect(at("template1"));
  for (const name of names) await admin.unsafe(`create database ${name} template ${source}`);
  await admin.end();
  return Object.fromEntries(names.map((name) => [name, at(name)])) as Record<Name, string>;
}
