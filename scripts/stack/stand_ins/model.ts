import { createHash } from "node:crypto";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { type Server, startServer } from "../server.ts";

interface ChatRequest {
  model: string;
  messages: { role: string; content: string }[];
  stream?: boolean;
  stream_options?: { include_usage?: boolean };
}

const WORDS = "meter quota tenant usage limit event token window ledger invoice credit plan".split(" ");

/** About four characters a token, the rule of thumb for English text. */
const tokens = (text: string) => Math.ceil(text.length / 4);

/**
 * An OpenAI-compatible `POST /v1/chat/completions` whose answer is a function of the request: the same
 * messages give the same words and the same usage. The model `fail-<status>` fails with that HTTP status;
 * `cut` ends its stream without usage after half of the answer; unless its reader goes away, `endless` streams for a
 * minute and `silent` says nothing more for one after its answer.
 */
export function startModel(): Promise<Server> {
  const app = new Hono();
  app.on("POST", ["/v1/chat/completions", "/chat/completions"], async (c) => {
    const request = await c.req.json<ChatRequest>();
    const failure = /^fail-([45]\d\d)$/.exec(request.model)?.[1];
    if (failure) {
      const body = { error: { message: "The model failed, as asked.", type: "server_error" } };
      return new Response(JSON.stringify(body), {
        status: Number(failure),
        headers: { "content-type": "application/json" },
      });
    }

    const words = answer(request.messages);
    const content = words.join("");
    const prompt = request.messages.reduce((sum, message) => sum + 4 + tokens(message.content), 3);
    const usage = {
      prompt_tokens: prompt,
      completion_tokens: tokens(content),
      total_tokens: prompt + tokens(content),
    };
    const id = `chatcmpl-${digest(request.messages).toString("hex").slice(0, 24)}`;
    const common = { id, created: 1_700_000_000, model: request.model };
    if (!request.stream) {
      const message = { role: "assistant", content };
      return c.json({
        ...common,
        object: "chat.completion",
        choices: [{ index: 0, message, finish_reason: "stop" }],
        usage,
      });
    }
    return streamSSE(c, async (stream) => {
      const chunk = (choices: unknown[], extra = {}) =>
        stream.writeSSE({
          data: JSON.stringify({ ...common, object: "chat.completion.chunk", choices, ...extra }),
        });
      const cut = request.model === "cut";
      for (const word of cut ? words.slice(0, words.length / 2) : words) {
        await chunk([{ index: 0, delta: { content: word }, finish_reason: null }]);
      }
      if (cut) return;
      const goesOn = ["endless", "silent"].includes(request.model);
      for (let i = 0; goesOn && i < 3_000 && !stream.aborted; i++) {
        if (request.model === "endless") {
          await chunk([{ index: 0, delta: { content: " more" }, finish_reason: null }]);
        }
        await stream.sleep(20);
      }
      await chunk([{ index: 0, delta: {}, finish_reason: "stop" }]);
      if (request.stream_options?.include_usage) await chunk([], { usage });
      await stream.writeSSE({ data: "[DONE]" });
    });
  });
  return startServer(app.fetch);
}

function digest(messages: ChatRequest["messages"]): Buffer {
  return createHash("sha256").update(JSON.stringify(messages)).digest();
}

/** 60 to 187 words, chosen by the digest of the conversation. */
function answer(messages: ChatRequest["messages"]): string[] {
  const seed = digest(messages);
  const length = 60 + (seed[0] ?? 0) / 2;
  return Array.from({ length }, (_, i) => `${i ? " " : ""}${WORDS[(seed[i % 32] ?? 0) % WORDS.length]}`);
}
