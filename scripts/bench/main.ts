import { createConnection, type Socket } from "node:net";
import { Argument, Command } from "commander";
import postgres from "postgres";
import { startDatabase } from "../stack/database.ts";
import { benchAccess } from "./access.ts";
import { benchAlerts } from "./alerts.ts";
import { benchBilling, type Database } from "./billing.ts";
import { type Latency, renderLatency } from "./billing_latency.ts";
import { type Comparison, render } from "./compare.ts";
import { benchOutbox } from "./outbox.ts";
import { benchQuota } from "./quota.ts";
import { benchRateLimiters } from "./rate_limiters.ts";
import { benchIngest } from "./usage_ingest.ts";
import { benchRollups } from "./usage_rollups.ts";

const PARTS = ["access", "alerts", "billing", "outbox", "quota", "usage"] as const;
const program = new Command("bench")
  .description("Measure side by side, in one run on one throwaway cluster whose commits wait for the disk.")
  .addArgument(new Argument("[what]", "by default all").choices(PARTS))
  .option("--events <millions>", "size of the large history of usage; the small one is a tenth", Number, 10)
  .option("--messages <count>", "how many messages of the outbox are drained at a time", Number, 50_000)
  .option("--json", "print JSON instead of tables")
  .parse();
const what = program.args[0];
const { events, messages, json } = program.opts<{ events: number; messages: number; json?: boolean }>();

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
  const measures = (part: (typeof PARTS)[number]) => what === undefined || what === part;
  if (measures("access")) {
    const connections = Array.from({ length: 32 }, () => connect(databaseUrl));
    comparisons.push(...(await benchAccess(connections)));
    await Promise.all(connections.map((connection) => connection.end()));
  }
  if (measures("alerts")) {
    await withCopies(
      ["few_tenants", "many_tenants", "short_past", "long_past", "thresholds"],
      async (databases) => {
        comparisons.push(...(await benchAlerts(databases)));
      },
    );
  }
  if (measures("billing")) {
    await withCopies(["billing", "few", "many"], async (databases) => {
      comparisons.push(...(await benchBilling(databases)));
    });
  }
  if (measures("outbox")) {
    await withCopies(["outbox", "little", "much"], async (databases) => {
      comparisons.push(...(await benchOutbox({ ...databases, messages })));
    });
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

/** Databases that are copies of the first as it is now, so that each part has its own, and all are there at the same time. */
async function withCopies<Name extends string>(
  names: Name[],
  use: (databases: Record<Name, Database>) => Promise<void>,
): Promise<void> {
  const urls = await copies(databaseUrl, names);
  const opened = names.map((name) => [name, { sql: connect(urls[name]), url: urls[name] }] as const);
  await use(Object.fromEntries(opened) as Record<Name, Database>);
  await Promise.all(opened.map(([, { sql }]) => sql.end()));
}
