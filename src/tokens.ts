/** Pieces this long keep the tokenizer linear: the time for one unbroken word grows with the square of its length. */
const PIECE = 1_000;

/**
 * Estimates how many tokens a text is, with the tokenizer of an OpenAI model (`gpt-tokenizer`; the newest encoding for a
 * model that it does not know). A text is counted in pieces, so a long one may come out up to 1 % high.
 * The tokenizer, about 2 MB, is loaded at the first call.
 */
export async function estimateTokens(text: string, model = ""): Promise<number> {
  const { modelToEncodingMap } = await import("gpt-tokenizer/mapping");
  const encodings: Record<string, string | undefined> = modelToEncodingMap;
  const { countTokens } =
    encodings[model] === "cl100k_base"
      ? await import("gpt-tokenizer/encoding/cl100k_base")
      : await import("gpt-tokenizer/encoding/o200k_base");
  let tokens = 0;
  for (let at = 0; at < text.length; at += PIECE) {
    // What looks like a special token is plain text here.
    tokens += countTokens(text.slice(at, at + PIECE), { disallowedSpecial: new Set() });
  }
  return tokens;
}

/**
 * What a model call costs in US dollars by the prices of `@pydantic/genai-prices`; null for a model without one.
 * It is an estimate for models that the table `model_prices`, the authority, does not list.
 */
export async function estimateCost(
  model: string,
  inputTokens: number,
  outputTokens = 0,
): Promise<number | null> {
  const { calcPrice } = await import("@pydantic/genai-prices");
  const usage = { input_tokens: inputTokens, ...(outputTokens > 0 && { output_tokens: outputTokens }) };
  return calcPrice(usage, model)?.total_price ?? null;
}
