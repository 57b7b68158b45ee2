import OpenAI from "openai";

export interface Message {
  role: "system" | "user" | "assistant";
  content: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

export interface ModelRequest {
  model: string;
  messages: Message[];
  /** Whether pieces are wanted as they come; otherwise the answer is one piece. */
  stream: boolean;
}

/** Yields the answer in pieces and returns the usage that the model reports, if it does. */
export type Model = (request: ModelRequest) => AsyncGenerator<string, Usage | undefined>;

/** A model behind the OpenAI chat completions API. */
export function openAiModel(options: { baseUrl: string; apiKey: string; fetch?: typeof fetch }): Model {
  const client = new OpenAI({
    baseURL: options.baseUrl,
    apiKey: options.apiKey,
    timeout: 60_000,
    maxRetries: 1,
    ...(options.fetch && { fetch: options.fetch }),
  });
  return async function* ({ model, messages, stream }) {
    if (!stream) {
      const completion = await client.chat.completions.create({ model, messages });
      yield completion.choices[0]?.message.content ?? "";
      return reported(completion.usage);
    }
    const chunks = await client.chat.completions.create({
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let usage: Usage | undefined;
    for await (const chunk of chunks) {
      usage = reported(chunk.usage) ?? usage;
      const content = chunk.choices[0]?.delta.content;
      if (content) yield content;
    }
    return usage;
  };
}

function reported(usage: OpenAI.CompletionUsage | null | undefined): Usage | undefined {
  if (!usage) return undefined;
  const { prompt_tokens, completion_tokens, total_tokens } = usage;
  return { prompt_tokens, completion_tokens, total_tokens };
}

/** About four characters a token in English, and four tokens around each message: where nobody has counted. */
export function estimateTokens(...texts: string[]): number {
  return texts.reduce((sum, text) => sum + 4 + Math.ceil(text.length / 4), 0);
}
