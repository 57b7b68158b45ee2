import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import OpenAI from "openai";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StackInfo } from "../../scripts/stack/stack.ts";
import { supabaseClient } from "../../scripts/supabase_client.ts";
import {
  cleanUp,
  clusters,
  copyOfCheckout,
  end,
  eventually,
  expectNothingLeft,
  launch,
  launchReady,
  processesOf,
  type Starter,
} from "../helpers/starter.ts";

afterAll(cleanUp, 60_000);

describe("starting and stopping", () => {
  test("SIGTERM ends a stack with requests under way", async () => {
    const { starter, info } = await launchReady();
    let isStopping = false;
    const headers = { apikey: info.secretKey };
    const load = Array.from({ length: 8 }, async () => {
      while (!isStopping) {
        await fetch(`${info.url}/rest/v1/tenants`, { headers }).then(
          (response) => response.text(),
          () => {
            isStopping = true;
          },
        );
      }
    });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await end(starter, "SIGTERM")).toBe(0);
    await Promise.allSettled(load);
  }, 60_000);

  test.each([
    ["SIGTERM", "embedded"],
    ["SIGINT", "embedded"],
    ["SIGTERM", "system"],
  ] as const)(
    "%s ends a running stack (%s) with exit code 0 and leaves nothing",
    async (signal, kind) => {
      const { starter, info } = await launchReady(["--postgres", kind]);
      expect(await clusters(starter)).toHaveLength(1);
      expect((await processesOf(starter)).length).toBeGreaterThan(10);

      const sql = postgres(info.databaseUrl, { max: 1 });
      const [server] = await sql`
      select current_setting('server_version_num')::int / 10000 as version,
        exists (select from pg_extension where extname = 'pg_cron') as "realCron"`;
      await sql.end();
      expect(server).toEqual(
        kind === "system" ? { version: 15, realCron: true } : { version: 17, realCron: false },
      );

      expect(await end(starter, signal)).toBe(0);
    },
    90_000,
  );

  test.each([
    ["SIGTERM", "· starting Postgres"],
    ["SIGTERM", "· applying migrations"],
    ["SIGTERM", "· starting the edge functions"],
    ["SIGKILL", "· starting Postgres"],
    ["SIGKILL", "· applying migrations"],
    ["SIGKILL", "· starting the edge functions"],
  ] as const)(
    "%s at “%s” leaves nothing",
    async (signal, line) => {
      const starter = await launch(["--port", "0"]);
      await eventually(() => expect(starter.stderr()).toContain(line), 60_000, 5);
      expect(await end(starter, signal)).toBe(signal === "SIGTERM" ? 0 : null);
      expect(starter.stdout()).toBe("");
    },
    90_000,
  );

  test.each(["SIGTERM", "SIGKILL"] as const)(
    "%s while Postgres makes its cluster leaves nothing",
    async (signal) => {
      const starter = await launch(["--port", "0"]);
      await eventually(
        async () =>
          expect((await readdir(starter.folder, { recursive: true })).join("\n")).toContain("data/base"),
        60_000,
        5,
      );
      expect(await end(starter, signal)).toBe(signal === "SIGTERM" ? 0 : null);
    },
    90_000,
  );

  test("a starter that is killed takes everything with it", async () => {
    const { starter } = await launchReady();
    expect(await end(starter, "SIGKILL")).toBeNull();
  }, 90_000);

  test("a taken port is told on stderr, with exit code 1, before anything has started", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    try {
      await once(other, "listening");
      const { port } = other.address() as AddressInfo;
      const starter = await launch(["--port", String(port)]);
      expect(await starter.ended).toBe(1);
      expect(starter.stderr()).toBe(
        `Port ${port} is taken; end what uses it, or choose another with --port (0: any free one).\n`,
      );
      expect(starter.stdout()).toBe("");
      await expectNothingLeft(starter);
    } finally {
      other.close();
    }
  }, 60_000);
});

describe("a running stack", () => {
  /** A copy, for the test that changes a function: another stack may be running on the original. */
  let checkout: string;
  let starter: Starter;
  let info: StackInfo;
  let sql: postgres.Sql;
  /** The grants before the first request. */
  let migrated: unknown[];

  beforeAll(async () => {
    checkout = await copyOfCheckout();
    ({ starter, info } = await launchReady([], checkout));
    sql = postgres(info.databaseUrl, { max: 2, onnotice: () => {} });
    migrated = await grants();
  }, 90_000);

  afterAll(async () => {
    await sql?.end();
    if (starter) await end(starter, "SIGTERM");
  }, 60_000);

  /** Who may do what with every relation and function of ours, and with those that are yet to come. */
  const grants = async () => [
    ...(await sql`
      select c.oid::regclass::text as object, c.relacl::text as acl from pg_class c
      where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
      union all
      select p.oid::regprocedure::text, p.proacl::text from pg_proc p
      where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
      union all
      select concat_ws(' ', 'default', d.defaclrole::regrole, n.nspname, d.defaclobjtype), d.defaclacl::text
      from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace
      order by 1`),
  ];

  const signUp = async (email: string) => {
    const client = supabaseClient(info.url, info.publishableKey);
    const { error } = await client.auth.signUp({ email, password: "correct horse battery" });
    expect(error).toBeNull();
    return client;
  };

  test("its starter has printed one line of JSON, and nothing else, on stdout", () => {
    expect(starter.stdout()).toMatch(/^\{.*\}\n$/);
    expect(Object.keys(JSON.parse(starter.stdout())).sort()).toEqual(
      [
        "stripeUrl",
        "stripeWebhookSecret",
        "url",
        "publishableKey",
        "secretKey",
        "databaseUrl",
        "mailboxUrl",
        "webhookSinkUrl",
        "modelUrl",
      ].sort(),
    );
  });

  test("requests of anon, of a user and of the service change no grant", async () => {
    const anon = await supabaseClient(info.url, info.publishableKey).from("billing_plans").select("id");
    expect(anon.data?.length).toBeGreaterThan(0);
    const user = await signUp("grants@example.test");
    const tenant = await user.rpc("create_tenant", { name: "Grants" });
    expect(tenant.error).toBeNull();
    const mine = await user.from("tenants").select("name");
    expect(mine.data).toEqual([{ name: "Grants" }]);
    const all = await supabaseClient(info.url, info.secretKey).from("tenants").select("name");
    expect(all.data).toContainEqual({ name: "Grants" });

    expect(migrated.length).toBeGreaterThan(50);
    expect(await grants()).toEqual(migrated);
  }, 30_000);

  describe("cron", () => {
    const schedule = (name: string, command: string) =>
      sql`select cron.schedule(${name}, '1 seconds', ${command})`;
    const unschedule = (name: string) => sql`select cron.unschedule(${name}::text)`;
    /** The finished runs of a command, oldest first. */
    const runs = async (command: string) => [
      ...(await sql`
        select status, return_message, username, start_time <= end_time as timed from cron.job_run_details
        where command = ${command} and end_time is not null order by runid`),
    ];
    const untilRun = (command: string, times: number) =>
      eventually(async () => expect((await runs(command)).length).toBeGreaterThanOrEqual(times));

    test("runs more jobs at once than it has connections", async () => {
      const jobs = Array.from({ length: 8 }, (_, i) => `select pg_sleep(0.3), ${i} as crowd`);
      for (const [i, command] of jobs.entries()) await schedule(`crowd ${i}`, command);
      for (const command of jobs) await untilRun(command, 2);
      for (const i of jobs.keys()) await unschedule(`crowd ${i}`);
    }, 40_000);

    test("runs a job every second and records each run", async () => {
      await sql`create table private.cron_probe (at timestamptz default clock_timestamp())`;
      const command = "insert into private.cron_probe default values";
      await schedule("probe", command);
      await untilRun(command, 2);
      await unschedule("probe");
      expect((await runs(command))[0]).toEqual({
        status: "succeeded",
        return_message: "1 row(s)",
        username: "postgres",
        timed: true,
      });
      const [rows] = await sql`select count(*)::int from private.cron_probe`;
      expect(rows?.count).toBeGreaterThanOrEqual(2);
      await sql`drop table private.cron_probe`;
    }, 40_000);

    test.each([
      ["fails", "select 1 / 0"],
      ["fails and leaves its transaction open", "begin; select 1 / 0"],
    ])(
      "records a job that %s as failed, and goes on with it",
      async (_, command) => {
        await schedule("failing", command);
        await untilRun(command, 2);
        await unschedule("failing");
        const failed = {
          status: "failed",
          return_message: "division by zero",
          username: "postgres",
          timed: true,
        };
        expect((await runs(command)).slice(0, 2)).toEqual([failed, failed]);
      },
      40_000,
    );

    test("does not run a job any more that is unscheduled", async () => {
      await schedule("ended", "select 'ended'");
      await untilRun("select 'ended'", 1);
      await unschedule("ended");
      // Scheduled afterwards, so once it has run the other is known to be gone.
      await schedule("witness", "select 'witness'");
      await untilRun("select 'witness'", 1);
      const before = await runs("select 'ended'");
      await untilRun("select 'witness'", 3);
      expect(await runs("select 'ended'")).toEqual(before);
      await unschedule("witness");
    }, 40_000);

    test("refuses to unschedule what is not there", async () => {
      await expect(unschedule("nothing")).rejects.toThrow(/could not find valid entry for job/);
    });
  });

  test("the mailbox gets the mails that Auth sends, and forgets them on demand", async () => {
    const messages = async () =>
      (await (await fetch(`${info.mailboxUrl}/messages`)).json()) as { to: string[] }[];
    const user = await signUp("forgetful@example.test");
    await fetch(`${info.mailboxUrl}/messages`, { method: "DELETE" });
    expect((await user.auth.resetPasswordForEmail("forgetful@example.test")).error).toBeNull();
    await eventually(async () => expect(await messages()).toHaveLength(1));
    expect((await messages())[0]).toMatchObject({
      from: expect.stringContaining("auth@meterbase.local"),
      to: ["forgetful@example.test"],
      subject: expect.stringMatching(/password/i),
      text: expect.any(String),
      receivedAt: expect.any(String),
    });
    await fetch(`${info.mailboxUrl}/messages`, { method: "DELETE" });
    expect(await messages()).toEqual([]);
  }, 30_000);

  test("the webhook receiver lists what it got, and forgets it on demand", async () => {
    const requests = async () => (await fetch(`${info.webhookSinkUrl}/requests`)).json();
    const headers = { "content-type": "text/plain", "x-signature": "abc" };
    await fetch(`${info.webhookSinkUrl}/hooks/alerts?try=1`, { method: "POST", headers, body: '{"a":1}' });
    await fetch(`${info.webhookSinkUrl}/`, { method: "PUT" });
    expect(await requests()).toMatchObject([
      { method: "POST", path: "/hooks/alerts?try=1", headers, body: '{"a":1}' },
      { method: "PUT", path: "/", body: "" },
    ]);
    await fetch(`${info.webhookSinkUrl}/requests`, { method: "DELETE" });
    expect(await requests()).toEqual([]);
  }, 30_000);

  describe("the model", () => {
    const client = () => new OpenAI({ baseURL: `${info.modelUrl}/v1`, apiKey: "any", maxRetries: 0 });
    const ask = (content: string, model = "any") => ({
      model,
      messages: [{ role: "user" as const, content }],
    });
    const streamed = async (content: string, model?: string) => {
      const request = {
        ...ask(content, model),
        stream: true as const,
        stream_options: { include_usage: true },
      };
      const chunks = await client().chat.completions.create(request);
      let answer = "";
      const usages: unknown[] = [];
      for await (const { choices, usage } of chunks) {
        answer += choices[0]?.delta.content ?? "";
        if (usage) usages.push(usage);
      }
      return { answer, usages };
    };

    test("gives the same answer and usage to the same question, at once or streamed", async () => {
      const first = await client().chat.completions.create(ask("Hello"));
      const second = await client().chat.completions.create(ask("Hello"));
      expect(second).toEqual(first);
      expect(await streamed("Hello")).toEqual({
        answer: first.choices[0]?.message.content,
        usages: [first.usage],
      });
      const other = await client().chat.completions.create(ask("Goodbye"));
      expect(other.choices[0]?.message.content).not.toBe(first.choices[0]?.message.content);
    }, 30_000);

    test("reports a usage that adds up and grows with the question", async () => {
      const usageOf = async (content: string) => {
        const { usage } = await client().chat.completions.create(ask(content));
        expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0));
        return usage?.prompt_tokens ?? 0;
      };
      expect(await usageOf("x".repeat(400))).toBe((await usageOf("")) + 100);
    }, 30_000);

    test("fails, or breaks off without usage, as its name asks", async () => {
      await expect(client().chat.completions.create(ask("Hello", "fail-503"))).rejects.toMatchObject({
        status: 503,
      });
      const whole = await streamed("Hello");
      const cut = await streamed("Hello", "cut");
      expect(cut.usages).toEqual([]);
      expect(cut.answer).not.toBe("");
      expect(whole.answer.startsWith(cut.answer)).toBe(true);
      expect(cut.answer.length).toBeLessThan(whole.answer.length);
    }, 30_000);
  });

  test("serves a function as soon as it is there, and anew when it changes", async () => {
    const folder = join(checkout, "supabase/functions/probe");
    const write = (answer: string) =>
      writeFile(join(folder, "index.ts"), `export default { fetch: () => new Response("${answer}") };\n`);
    const answer = async () => (await fetch(`${info.url}/functions/v1/probe`)).text();
    await mkdir(folder);
    await write("first");
    await eventually(async () => expect(await answer()).toBe("first"));
    await write("second");
    await eventually(async () => expect(await answer()).toBe("second"));
  }, 60_000);
});
