import assert from "node:assert/strict";
import { estimateTokens, type ModelRequest, openAiModel } from "./model.ts";

const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };
const text = (content: string) => ({ choices: [{ index: 0, delta: { content } }] });

/** A provider that gives one answer to every request, and keeps the requests. */
function provider(answer: () => Response) {
  const requests: { url: string; authorization: string | null; body: Record<string, unknown> }[] = [];
  const fetch = async (input: string | URL | Request, init?: RequestInit) => {
    const request = new Request(input, init);
    const authorization = request.headers.get("authorization");
    requests.push({ url: request.url, authorization, body: await request.json() });
    return answer();
  };
  return { requests, model: openAiModel({ baseUrl: "http://model.test/v1", apiKey: "sk-x", fetch }) };
}

function events(...chunks: (object | "[DONE]")[]): Response {
  const lines = chunks.map(
    (chunk) => `data: ${typeof chunk === "string" ? chunk : JSON.stringify(chunk)}\n\n`,
  );
  return new Response(lines.join(""), { headers: { "content-type": "text/event-stream" } });
}

const ask = (stream: boolean): ModelRequest => ({
  model: "small",
  messages: [{ role: "user", content: "Hello" }],
  stream,
});

/** Reads a model's answer to its end: the pieces, and what it returned. */
async function read<T>(answer: AsyncGenerator<string, T>) {
  const pieces: string[] = [];
  let next = await answer.next();
  for (; !next.done; next = await answer.next()) pieces.push(next.value);
  return { pieces, usage: next.value };
}

Deno.test("asks the provider's chat completions with key, model and messages", async () => {
  const { model, requests } = provider(() => Response.json({ choices: [{ message: { content: "Hi" } }] }));
  await read(model(ask(false)));
  assert.deepEqual(requests, [
    {
      url: "http://model.test/v1/chat/completions",
      authorization: "Bearer sk-x",
      body: { model: "small", messages: [{ role: "user", content: "Hello" }] },
    },
  ]);
});

Deno.test("an answer that is not streamed is one piece, with the reported usage and nothing else of it", async () => {
  const reported = { ...usage, prompt_tokens_details: { cached_tokens: 2 } };
  const { model } = provider(() =>
    Response.json({ choices: [{ message: { content: "Hi there" } }], usage: reported }),
  );
  assert.deepEqual(await read(model(ask(false))), { pieces: ["Hi there"], usage });
});

Deno.test("a provider that reports no usage leaves it undefined", async () => {
  const { model } = provider(() => Response.json({ choices: [{ message: { content: null } }] }));
  assert.deepEqual(await read(model(ask(false))), { pieces: [""], usage: undefined });
});

Deno.test("a streamed answer comes in the provider's pieces, and asks for the usage", async () => {
  const { model, requests } = provider(() =>
    events(text("Hi"), text(" there"), { choices: [], usage }, { ...text(""), usage: null }, "[DONE]"),
  );
  assert.deepEqual(await read(model(ask(true))), { pieces: ["Hi", " there"], usage });
  assert.deepEqual(requests[0]?.body.stream_options, { include_usage: true });
});

Deno.test("a stream that ends without usage still gives its pieces", async () => {
  const { model } = provider(() => events(text("Hi")));
  assert.deepEqual(await read(model(ask(true))), { pieces: ["Hi"], usage: undefined });
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
  for await (const piece of model(ask(true))) {
    assert.equal(piece, "again");
    break;
  }
  assert.equal(cancelled, true);
});

for (const stream of [false, true]) {
  const how = stream ? "streamed" : "not streamed";

  Deno.test(`a provider's refusal is thrown (${how})`, async () => {
    const { model } = provider(() =>
      Response.json({ error: { message: "No such model." } }, { status: 404 }),
    );
    await assert.rejects(read(model(ask(stream))), /No such model/);
  });

  Deno.test(`a provider that fails is asked once more (${how})`, async () => {
    const failed = () => Response.json({}, { status: 500, headers: { "retry-after-ms": "1" } });
    const { model, requests } = provider(failed);
    await assert.rejects(read(model(ask(stream))));
    assert.equal(requests.length, 2);
  });
}

Deno.test("an estimate is four tokens a message and one for each four characters begun", () => {
  assert.equal(estimateTokens(), 0);
  assert.equal(estimateTokens("", "abcd", "abcde"), 4 + 5 + 6);
});
