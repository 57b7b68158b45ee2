import assert from "node:assert/strict";
import { bytesOf, estimatePrompt, type ModelRequest, openAiModel, tokensOf } from "./model.ts";

const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
const text = (content: string) => ({ choices: [{ index: 0, delta: { content } }] });

/** A provider that gives one answer to every request, and keeps the requests. */
function provider(answer: (signal: AbortSignal) => Response) {
  const requests: { url: string; authorization: string | null; body: Record<string, unknown> }[] = [];
  const fetch = async (input: string | URL | Request, init?: RequestInit) => {
    const request = new Request(input, init);
    const authorization = request.headers.get("authorization");
    requests.push({ url: request.url, authorization, body: await request.json() });
    return answer(request.signal);
  };
  return { requests, model: openAiModel({ baseUrl: "http://model.test/v1", apiKey: "sk-x", fetch }) };
}

function events(...chunks: (object | "[DONE]")[]): Response {
  const lines = chunks.map(
    (chunk) => `data: ${typeof chunk === "string" ? chunk : JSON.stringify(chunk)}\n\n`,
  );
  return new Response(lines.join(""), { headers: { "content-type": "text/event-stream" } });
}

const ask = (signal = new AbortController().signal): ModelRequest => ({
  model: "small",
  messages: [{ role: "user", content: "Hello" }],
  signal,
});

/** Reads a model's answer to its end: the pieces, and what it returned. */
async function read<T>(answer: AsyncGenerator<string, T>) {
  const pieces: string[] = [];
  let next = await answer.next();
  for (; !next.done; next = await answer.next()) pieces.push(next.value);
  return { pieces, usage: next.value };
}

Deno.test("asks the provider's chat completions with key, model and messages, for a stream with its usage", async () => {
  const { model, requests } = provider(() => events("[DONE]"));
  await read(model(ask()));
  assert.deepEqual(requests, [
    {
      url: "http://model.test/v1/chat/completions",
      authorization: "Bearer sk-x",
      body: {
        model: "small",
        messages: [{ role: "user", content: "Hello" }],
        stream: true,
        stream_options: { include_usage: true },
      },
    },
  ]);
});

Deno.test("an answer comes in the provider's pieces, then its usage and nothing else of it", async () => {
  const reported = { ...usage, prompt_tokens_details: { cached_tokens: 2 } };
  const { model } = provider(() =>
    events(
      text("Hi"),
      text(" there"),
      { choices: [], usage: reported },
      { ...text(""), usage: null },
      "[DONE]",
    ),
  );
  assert.deepEqual(await read(model(ask())), { pieces: ["Hi", " there"], usage });
});

Deno.test("a stream that ends without usage still gives its pieces", async () => {
  const { model } = provider(() => events(text("Hi")));
  assert.deepEqual(await read(model(ask())), { pieces: ["Hi"], usage: undefined });
});

Deno.test("a reader that stops ends the provider's stream", async () => {
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) =>
      controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(text("again"))}\n\n`)),
    cancel: () => {
      cancelled = true;
    },
  });
  const { model } = provider(
    () => new Response(endless, { headers: { "content-type": "text/event-stream" } }),
  );
  for await (const piece of model(ask())) {
    assert.equal(piece, "again");
    break;
  }
  assert.equal(cancelled, true);
});

Deno.test("a signal ends a stream that says nothing", async () => {
  let cancelled = false;
  const silent = new ReadableStream<Uint8Array>({
    start: (controller) =>
      controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(text("Hi"))}\n\n`)),
    cancel: () => {
      cancelled = true;
    },
  });
  const controller = new AbortController();
  const { model } = provider((signal) => {
    const body = silent.pipeThrough(new TransformStream(), { signal });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  });
  const pieces = model(ask(controller.signal));
  assert.equal((await pieces.next()).value, "Hi");
  const next = pieces.next();
  controller.abort();
  await next.catch(() => {});
  assert.equal(cancelled, true);
});

Deno.test("a provider's refusal is thrown", async () => {
  const { model } = provider(() => Response.json({ error: { message: "No such model." } }, { status: 404 }));
  await assert.rejects(read(model(ask())), /No such model/);
});

Deno.test("a provider that fails is asked once more", async () => {
  const failed = () => Response.json({}, { status: 500, headers: { "retry-after-ms": "1" } });
  const { model, requests } = provider(failed);
  await assert.rejects(read(model(ask())));
  assert.equal(requests.length, 2);
});

Deno.test("an estimate is a token for each four bytes begun, and four for each message", () => {
  assert.deepEqual([0, 1, 4, 5].map(tokensOf), [0, 1, 1, 2]);
  assert.equal(bytesOf("配额"), 6);
  const messages = ["", "abcd", "abcde"].map((content) => ({ role: "user" as const, content }));
  assert.equal(estimatePrompt(messages), 4 + 5 + 6);
});
