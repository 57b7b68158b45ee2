import { randomUUID } from "node:crypto";
import postgres from "postgres";
import { afterAll, expect, inject, test } from "vitest";
import { createTenant, service } from "../helpers/people.ts";
import { scaled } from "../helpers/scale.ts";

const sql = postgres(inject("stack").databaseUrl, { max: 8, onnotice: () => {} });
afterAll(() => sql.end());

test("overlapping batches in any order record each event once, and never wait for each other in a circle", async () => {
  const { id: tenantId } = await createTenant(service);
  const size = scaled(200, 2_000);
  const events = Array.from({ length: size }, (_, i) => ({
    event_id: `event-${i}`,
    event_type: "api_call",
    tokens_consumed: i,
  }));
  const shuffled = () => [...events].sort(() => Math.random() - 0.5);
  const answers = await Promise.all(
    Array.from({ length: 24 }, async () => {
      const [answer] = await sql`select * from public.record_usage(${tenantId}, ${sql.json(shuffled())})`;
      return answer;
    }),
  );
  expect(answers.reduce((sum, answer) => sum + answer?.accepted, 0)).toBe(size);
  expect(answers.reduce((sum, answer) => sum + answer?.duplicates, 0)).toBe(23 * size);
  const [total] = await sql`
    select count(*)::int as events, sum(tokens_consumed)::int as tokens
    from tenant_usage_realtime where tenant_id = ${tenantId}`;
  expect(total).toEqual({ events: size, tokens: (size * (size - 1)) / 2 });
});

test("writers that need the same missing day make its partition once", async () => {
  const days = scaled(3, 15);
  for (let day = 10; day < 10 + days; day++) {
    const at = new Date(Date.now() - day * 86_400_000).toISOString();
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const { id } = await createTenant(service);
        const event = { event_id: randomUUID(), event_type: "api_call", event_timestamp: at };
        const [answer] = await sql`select accepted from public.record_usage(${id}, ${sql.json([event])})`;
        return answer?.accepted;
      }),
    );
    expect(answers).toEqual(Array(8).fill(1));
  }
});
