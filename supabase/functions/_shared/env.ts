import { z } from "zod";

const keys = z
  .string()
  .transform((text) => JSON.parse(text) as unknown)
  .pipe(z.object({ default: z.string() }));

/** How a function reaches its project: what the hosted edge runtime sets for every function. */
export const ProjectEnv = z
  .object({ SUPABASE_URL: z.url(), SUPABASE_PUBLISHABLE_KEYS: keys })
  .transform((env) => ({ url: env.SUPABASE_URL, publishableKey: env.SUPABASE_PUBLISHABLE_KEYS.default }));

/** The model behind `chat`. */
export const ChatEnv = z
  .object({
    OPENAI_BASE_URL: z.url().default("https://api.openai.com/v1"),
    OPENAI_API_KEY: z.string().min(1),
    CHAT_MODEL: z.string().min(1).default("gpt-4o-mini"),
    CHAT_MODELS: z.string().optional(),
    CHAT_ESTIMATED_TOKENS: z.coerce.number().int().positive().default(150),
  })
  .transform((env) => ({
    baseUrl: env.OPENAI_BASE_URL,
    apiKey: env.OPENAI_API_KEY,
    model: env.CHAT_MODEL,
    /** Models that a request may name; `*` is any. */
    models: [env.CHAT_MODEL, ...(env.CHAT_MODELS ?? "").split(",").map((name) => name.trim())].filter(
      Boolean,
    ),
    estimatedTokens: env.CHAT_ESTIMATED_TOKENS,
  }));
