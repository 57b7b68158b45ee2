import { beforeEach, expect, test, vi } from "vitest";
import { MeterbaseError } from "./errors.ts";
import { estimateCost, estimateTokens } from "./tokens.ts";
import { Usage, type UsageEvent } from "./usage.ts";
import { trackUsage, UsageTracker } from "./usage_tracker.ts";

const recorded: { tenantId: string; event: UsageEvent }[] = [];
const mb = {
  usage: {
    buffer: {
      addWhenReady: async (tenantId: string, event: Promise<UsageEvent>) => {
        recorded.push({ tenantId, event: await event });
      },
    },
  } as unknown as Usage,
};
beforeEach(() => {
  recorded.length = 0;
});

test("a success carries what is known of it, and the time it took", async () => {
  const tracker = trackUsage(mb, "t", "embedding", { model: "gpt-4o", source: "docs" });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await tracker.recordSuccess({ tokens_used: 1_000_000, quantity: 12, metadata: { pages: 3 } });
  expect(recorded).toEqual([
    {
      tenantId: "t",
      event: {
        event_id: tracker.eventId,
        event_type: "embedding",
        event_timestamp: expect.any(String),
        tokens_consumed: 1_000_000,
        estimated_cost_usd: 2.5,
        api_response_time_ms: expect.any(Number),
        api_status_code: 200,
        quantity: 12,
        metadata: { model: "gpt-4o", source: "docs", pages: 3 },
      },
    },
  ]);
  expect(recorded[0]?.event.api_response_time_ms).toBeGreaterThanOrEqual(4);
});

test("tokens and cost are estimated from the texts, which are not recorded", async () => {
  const message = "How many seats are left on our plan?";
  const response = "Three of ten.";
  await new UsageTracker(mb, "t", "chat_message", { model: "gpt-4o" }).recordSuccess({ message, response });
  const prompt = await estimateTokens(message, "gpt-4o");
  const completion = await estimateTokens(response, "gpt-4o");
  expect(recorded[0]?.event).toMatchObject({
    tokens_consumed: prompt + completion,
    estimated_cost_usd: (prompt * 2.5 + completion * 10) / 1e6,
    metadata: { model: "gpt-4o", prompt_tokens: prompt, completion_tokens: completion },
  });
  expect(JSON.stringify(recorded)).not.toContain("seats");
});

test("what the caller knows of the cost is not second-guessed", async () => {
  await trackUsage(mb, "t", "ai_request", { model: "gpt-4o" }).recordSuccess({
    tokens_used: 10,
    cost_usd: 0.5,
  });
  expect(recorded[0]?.event).toMatchObject({ cost_usd: 0.5, tokens_consumed: 10 });
  expect(recorded[0]?.event).not.toHaveProperty("estimated_cost_usd");
});

test("a failure carries the error's message, and its status when it is one", async () => {
  await trackUsage(mb, "t", "api_call").recordFailure(new Error("boom"));
  await trackUsage(mb, "t", "api_call").recordFailure(new MeterbaseError("gone", 410, "gone"));
  await trackUsage(mb, "t", "api_call").recordFailure("plain", { status_code: 503, response_time_ms: 7 });
  await trackUsage(mb, "t", "api_call").recordFailure(null);
  await trackUsage(mb, "t", "api_call").recordFailure(Object.create(null), {
    status_code: undefined as never,
  });
  expect(recorded.map(({ event }) => [event.api_status_code, event.metadata?.error])).toEqual([
    [500, "boom"],
    [410, "gone"],
    [503, "plain"],
    [500, "unknown"],
    [500, "unknown"],
  ]);
  expect(recorded[2]?.event.api_response_time_ms).toBe(7);
});

test("a rate limit is a 429", async () => {
  await trackUsage(mb, "t", "embedding").recordRateLimit();
  expect(recorded[0]?.event).toMatchObject({ api_status_code: 429, tokens_consumed: 0 });
});

test("the first outcome counts", async () => {
  const tracker = trackUsage(mb, "t", "api_call");
  await tracker.recordSuccess();
  await tracker.recordFailure(new Error("of what came after it"));
  expect(recorded.map(({ event }) => event.api_status_code)).toEqual([200]);
});

test("a metering outage never breaks the caller", async () => {
  const rpc = () => {
    throw new TypeError("fetch failed");
  };
  const onDropped = vi.fn();
  const usage = new Usage({ rpc } as never, { onDropped });
  await usage.track("t", "api_call").recordSuccess({ message: "<|endoftext|>" });
  await usage.buffer.shutdown();
  expect(usage.buffer.size).toBe(1);
  expect(onDropped).not.toHaveBeenCalled();
});

test("tokens are those of the model's encoding, in time for any text", async () => {
  expect(await estimateTokens("")).toBe(0);
  expect(await estimateTokens("Hello world")).toBe(2);
  expect(await estimateTokens("<|endoftext|>")).toBeGreaterThan(1);
  const german = "Donaudampfschifffahrtsgesellschaftskapitän";
  expect(await estimateTokens(german, "gpt-4")).toBeGreaterThan(await estimateTokens(german, "gpt-4o"));
  // As one word, the tokenizer alone would take seconds.
  expect(await estimateTokens("a".repeat(100_000))).toBeCloseTo(12_500, -2);
});

test("cost is known of models in the price list alone", async () => {
  expect(await estimateCost("gpt-4o-mini", 1_000_000, 1_000_000)).toBeCloseTo(0.75, 10);
  expect(await estimateCost("no such model", 1)).toBeNull();
});
