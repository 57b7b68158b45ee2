import postgres from "postgres";
import { afterAll, beforeEach, expect, inject, test } from "vitest";
import { startFunctions } from "../../scripts/stack/functions.ts";
import { createMeterbase, type QuotaStatus } from "../../src/index.ts";
import { chat, createTenant, type Person, service, signUp, type Tenant } from "../helpers/people.ts";
import { until } from "../helpers/until.ts";

const sql = postgres(inject("stack").databaseUrl, { max: 1, onnotice: () => {} });
afterAll(() => sql.end());

let person: Person;
let tenant: Tenant;

beforeEach(async () => {
  person = await signUp();
  tenant = await createTenant(person.client);
});

const meterbase = () => createMeterbase(person.client);

async function used(): Promise<Record<string, number>> {
  const status = await meterbase().quota.getQuotaStatus(tenant.id);
  return Object.fromEntries(status.map((entry: QuotaStatus) => [entry.metric, entry.used]));
}

async function events() {
  const { data } = await person.client
    .from("tenant_usage_realtime")
    .select("*")
    .eq("tenant_id", tenant.id)
    .order("event_timestamp");
  return data ?? [];
}

function parse(text: string) {
  return text
    .trim()
    .split("\n\n")
    .map((block) => /^event: (\w+)\ndata: (.*)$/s.exec(block)?.slice(1) as [string, string])
    .map(([event, data]) => ({ event, data: JSON.parse(data) }));
}

test("an answer is metered: quota, usage event and headers agree with what the model reports", async () => {
  const response = await chat(person.token, {
    tenant_id: tenant.id,
    message: "Hello",
    session_id: "s-1",
    model: "gpt-4o-mini",
  });
  expect(response.status).toBe(200);
  const body = await response.json();
  expect(body).toMatchObject({ session_id: "s-1", message: expect.stringMatching(/\w/) });
  expect(response.headers.get("x-ratelimit-limit")).toBe("30");
  expect(response.headers.get("x-ratelimit-remaining")).toBe("29");
  expect(response.headers.get("x-ratelimit-reset")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:00\.000Z$/);

  const { total_tokens, prompt_tokens, completion_tokens } = body.usage;
  expect(total_tokens).toBe(prompt_tokens + completion_tokens);
  expect(body.quota).toMatchObject({
    metric: "tokens",
    used: total_tokens,
    remaining: 10_000 - total_tokens,
  });
  expect(await used()).toMatchObject({ tokens: total_tokens, chat_messages: 1, api_calls: 1 });

  const [event, ...others] = await events();
  expect(others).toEqual([]);
  expect(event).toMatchObject({
    event_type: "chat_message",
    subject: person.id,
    tokens_consumed: total_tokens,
    api_status_code: 200,
    metadata: { session_id: "s-1", prompt_tokens, completion_tokens },
  });
  expect(event?.cost_usd).toBeCloseTo((prompt_tokens * 0.15 + completion_tokens * 0.6) / 1e6, 9);
  expect(event?.api_response_time_ms).toBeGreaterThan(0);
});

test("a streamed answer comes in pieces and is metered the same", async () => {
  const plain = await (await chat(person.token, { tenant_id: tenant.id, message: "Stream this" })).json();
  const response = await chat(person.token, { tenant_id: tenant.id, message: "Stream this", stream: true });
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const parsed = parse(await response.text());
  const deltas = parsed.filter(({ event }) => event === "delta").map(({ data }) => data.content);
  expect(deltas.length).toBeGreaterThan(10);
  const done = parsed.at(-1);
  expect(done?.event).toBe("done");
  expect(done?.data.message).toBe(deltas.join(""));
  expect(done?.data.message).toBe(plain.message);
  expect(done?.data.usage).toEqual(plain.usage);
  expect((await used()).tokens).toBe(2 * plain.usage.total_tokens);
});

test("a model that fails costs nothing and leaves a failed event", async () => {
  for (const stream of [false, true]) {
    const response = await chat(person.token, {
      tenant_id: tenant.id,
      message: "Hello",
      model: "fail-503",
      stream,
    });
    expect(response.status).toBe(502);
    expect((await response.json()).error.code).toBe("model_failed");
    expect(response.headers.get("x-ratelimit-limit")).toBe("30");
  }
  expect(await used()).toMatchObject({ tokens: 0, chat_messages: 0, api_calls: 2 });
  const recorded = await events();
  expect(recorded.map((event) => [event.api_status_code, event.tokens_consumed])).toEqual([
    [502, 0],
    [502, 0],
  ]);
});

test.each([true, false])("tokens that end mid-answer end it within a step (stream: %s)", async (stream) => {
  // The prompt is estimated at 6 and a step is 150: 156 and 306 fit, 456 do not.
  await createMeterbase(service).quota.setCustomQuota(tenant.id, "tokens", 400);
  const response = await chat(person.token, {
    tenant_id: tenant.id,
    message: "Hello",
    model: "endless",
    stream,
  });
  expect(response.status).toBe(200);
  const answer = stream ? parse(await response.text()).at(-1)?.data : await response.json();
  expect(answer.finish_reason).toBe("quota_exceeded");
  const { total_tokens, prompt_tokens, completion_tokens } = answer.usage;
  expect(completion_tokens).toBe(Math.ceil(answer.message.length / 4));
  expect(total_tokens).toBe(prompt_tokens + completion_tokens);
  expect(total_tokens).toBeGreaterThan(300);
  expect(total_tokens).toBeLessThanOrEqual(306);

  expect(answer.quota).toMatchObject({ used: total_tokens, remaining: 400 - total_tokens });
  expect(await used()).toMatchObject({ tokens: total_tokens, chat_messages: 1 });
  const [event, ...others] = await events();
  expect(others).toEqual([]);
  expect(event).toMatchObject({ tokens_consumed: total_tokens, quantity: 1, api_status_code: 200 });
});

test("a function killed mid-answer leaves what is unused given back, and counters and events agreeing", async () => {
  const { url, publishableKey, secretKey, modelUrl } = inject("stack");
  const functions = await startFunctions({
    SUPABASE_URL: url,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: publishableKey }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: secretKey }),
    OPENAI_BASE_URL: `${modelUrl}/v1`,
    OPENAI_API_KEY: "local",
    CHAT_MODELS: "*",
    CHAT_ESTIMATED_TOKENS: "100",
  });
  try {
    const response = await fetch(`${functions.url}/chat`, {
      method: "POST",
      headers: { authorization: `Bearer ${person.token}` },
      body: JSON.stringify({ tenant_id: tenant.id, message: "Hello", model: "endless", stream: true }),
    });
    const reader = response.body?.getReader();
    while (((await used()).tokens ?? 0) < 306) await reader?.read(); // 106 at first, and two steps more
    reader?.read().catch(() => {});
  } finally {
    await functions.stop();
  }
  const { tokens: held = 0, chat_messages } = await used();
  expect(chat_messages).toBe(1);
  expect(await events()).toEqual([]);

  await sql`update public.tenants set clock_offset = '11 minutes' where id = ${tenant.id}`;
  await sql`select private.expire_reservations()`;
  // What was held before the last step is spent; how much of that step was, nobody knows any more.
  expect(await used()).toMatchObject({ tokens: held - 100, chat_messages: 0 });
  const [event, ...others] = await events();
  expect(others).toEqual([]);
  expect(event).toMatchObject({
    subject: person.id,
    tokens_consumed: held - 100,
    quantity: 0,
    metadata: { model: "endless" },
  });
});

test.each([true, false])(
  "a reader that leaves a silent model pays for what it got (stream: %s)",
  async (stream) => {
    const controller = new AbortController();
    const request = { tenant_id: tenant.id, message: "Hello", model: "silent", stream };
    const pending = chat(person.token, request, controller.signal);
    if (stream) await (await pending).body?.getReader().read();
    else await until(async () => ((await used()).tokens ?? 0) > 0);
    await new Promise((resolve) => setTimeout(resolve, 500)); // until the model has fallen silent
    controller.abort();
    await pending.catch(() => {});
    await until(async () => (await events()).length === 1);
    const [event] = await events();
    expect(event?.api_status_code).toBe(499);
    expect(await used()).toMatchObject({ tokens: event?.tokens_consumed, chat_messages: 1 });
  },
);

test("a reader that goes away pays for what it got, and nothing stays held", async () => {
  const controller = new AbortController();
  const request = { tenant_id: tenant.id, message: "Tell me everything", model: "endless", stream: true };
  const response = await chat(person.token, request, controller.signal);
  const reader = response.body?.getReader();
  await reader?.read();
  controller.abort();
  await until(async () => (await events()).length === 1);
  const [event] = await events();
  expect(event?.api_status_code).toBe(499);
  expect(await used()).toMatchObject({ tokens: event?.tokens_consumed, chat_messages: 1 });
});

test("past the day's tokens: 429 with the seconds to wait, and the message is not taken", async () => {
  await createMeterbase(service).quota.setCustomQuota(tenant.id, "tokens", 100);
  const response = await chat(person.token, { tenant_id: tenant.id, message: "Hello" });
  expect(response.status).toBe(429);
  const body = await response.json();
  expect(body.error).toMatchObject({
    code: "quota_exceeded",
    message: "Daily tokens limit exceeded: 100/day. Upgrade your plan for more.",
    metric: "tokens",
  });
  const midnight = new Date().setUTCHours(24, 0, 0, 0);
  expect(body.retryAfter).toBeGreaterThan((midnight - Date.now()) / 1000 - 5);
  expect(body.retryAfter).toBeLessThanOrEqual(86_400);
  expect(response.headers.get("retry-after")).toBe(String(body.retryAfter));
  expect(await used()).toMatchObject({ tokens: 0, chat_messages: 0 });
  expect((await events()).map((event) => event.api_status_code)).toEqual([429]);
});

test("past the requests of a minute: 429 until the minute is over", async () => {
  await createMeterbase(service).quota.setCustomQuota(tenant.id, "api_calls", 0, "minute");
  const response = await chat(person.token, { tenant_id: tenant.id, message: "Hello" });
  expect(response.status).toBe(429);
  const { retryAfter } = await response.json();
  expect(retryAfter).toBeGreaterThanOrEqual(1);
  expect(retryAfter).toBeLessThanOrEqual(60);
  expect(response.headers.get("x-ratelimit-limit")).toBe("0");
});

test("who may not, gets a clear answer", async () => {
  const status = async (token: string | null, body: object) => {
    const response = await chat(token, body);
    return [response.status, (await response.json()).error.code];
  };
  const body = { tenant_id: tenant.id, message: "Hello" };
  expect(await status(null, body)).toEqual([401, "unauthorized"]);
  expect(await status("not.a.token", body)).toEqual([401, "unauthorized"]);
  const [head, payload] = person.token.split(".");
  expect(await status(`${head}.${payload}.${"A".repeat(43)}`, body)).toEqual([401, "unauthorized"]);
  expect(await status(inject("stack").publishableKey, body)).toEqual([401, "unauthorized"]);
  const stranger = await signUp();
  expect(await status(stranger.token, body)).toEqual([403, "permission_denied"]);
  expect(await status(person.token, { message: "Hello" })).toEqual([400, "tenant_required"]);
  expect(await status(person.token, { tenant_id: tenant.id })).toEqual([400, "invalid_request"]);
  expect(await used()).toMatchObject({ tokens: 0, chat_messages: 0, api_calls: 0 });
});
