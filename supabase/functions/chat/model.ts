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
  /** Ends the request, also while the model says nothing. */
  signal: AbortSignal;
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
  return async function* ({ model, messages, signal }) {
    const chunks = await client.chat.completions.create(
      { model, messages, stream: true, stream_options: { include_usage: true } },
      { signal },
    );
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

const encoder = new TextEncoder();
export const bytesOf = (text: string): number => encoder.encode(text).length;

/** Where nobody has counted: four bytes a token, which is four letters of English or one or two characters of Chinese. */
export const tokensOf = (bytes: number): number => Math.ceil(bytes / 4);

/** The same of a conversation, with four tokens around each message. */
export const estimatePrompt = (messages: Message[]): number =>
  messages.reduce((sum, { content }) => sum + 4 + tokensOf(bytesOf(content)), 0);
