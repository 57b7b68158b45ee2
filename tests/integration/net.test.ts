import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import postgres, { type Sql } from "postgres";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Database, startDatabase } from "../../scripts/stack/database.ts";
import { startNet } from "../../scripts/stack/net.ts";
import { until } from "../helpers/until.ts";

let database: Database;
let sql: Sql;
let server: Server;
let url: string;
/** What was asked for, and has no answer unless it is given one. */
const asked = new Map<string, ServerResponse>();

beforeAll(async () => {
  database = await startDatabase({ postgres: "system" });
  sql = postgres(database.databaseUrl, { max: 1, onnotice: () => {} });
  server = createServer((request, response) => void asked.set(request.url ?? "", response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await sql?.end();
  await database?.stop();
});

const queue = async (path: string, timeout = 30_000) => {
  const [request] = await sql`
    select net.http_post(${url + path}, timeout_milliseconds => ${timeout}) as id`;
  return request?.id as string;
};
const isAsked = (...paths: string[]) => paths.every((path) => asked.has(path));
const isAnswered = async (id: string) => {
  const [answer] = await sql`select status_code, timed_out from net._http_response where id = ${id}`;
  return answer;
};

test("requests are sent together, and the next ones only when all of those are answered or too late", async () => {
  await sql.begin(async (tx) => {
    for (const path of ["/slow", "/fast", "/never"]) {
      await tx`select net.http_post(${url + path}, timeout_milliseconds => ${path === "/never" ? 1_000 : 30_000})`;
    }
  });
  const net = await startNet(database.databaseUrl);
  try {
    await until(() => isAsked("/slow", "/fast", "/never"));
    asked.get("/fast")?.end("ok");
    const next = await queue("/next");
    await until(async () => {
      const answers = await sql`select from net._http_response`;
      return answers.length === 2; // that of /fast, and that there is none of /never
    });
    expect(isAsked("/next")).toBe(false);
    expect(await sql`select id from net.http_request_queue`).toEqual([{ id: next }]);

    asked.get("/slow")?.end("ok");
    await until(() => isAsked("/next"));
    asked.get("/next")?.writeHead(202).end("ok");
    await until(async () => (await isAnswered(next)) !== undefined);
    expect(await isAnswered(next)).toEqual({ status_code: 202, timed_out: false });
    expect(await sql`select status_code, timed_out from net._http_response order by id`).toEqual([
      { status_code: 200, timed_out: false },
      { status_code: 200, timed_out: false },
      { status_code: null, timed_out: true },
      { status_code: 202, timed_out: false },
    ]);
  } finally {
    await net.stop();
  }
});

test("it stops although a request has no answer", async () => {
  const net = await startNet(database.databaseUrl);
  await queue("/hangs");
  await until(() => isAsked("/hangs"));
  const stoppedIn = performance.now();
  await net.stop();
  expect(performance.now() - stoppedIn).toBeLessThan(5_000);
});
