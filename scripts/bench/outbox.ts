import type { Database } from "./billing.ts";
import { type Comparison, compare, type Variant } from "./compare.ts";
import { benchOutboxGrowth } from "./outbox_growth.ts";
import { meterbase, PAYLOAD } from "./outbox_meterbase.ts";
import { graphileWorker, pgBoss } from "./outbox_rivals.ts";

/** How many messages go into one statement that enqueues. */
const BATCH = 1_000;

export interface Message {
  payload: unknown;
}

/** Something that keeps messages until a worker has sent them. */
export interface Outbox {
  name: string;
  /** All in one statement. */
  enqueue: (messages: Message[]) => Promise<void>;
  /** Claims and completes that many, which are all there are, by that many workers; nothing is sent. */
  drain: (messages: number, workers: number) => Promise<void>;
  left: () => Promise<number>;
  /** Forgets all messages. */
  reset: () => Promise<void>;
  end: () => Promise<void>;
}

/** Databases of the same cluster, each of which this part has for itself, and how many messages are drained at a time. */
export type OutboxOptions = Record<"outbox" | "little" | "much", Database> & { messages: number };

/** What it costs to enqueue, claim and complete, beside two queues of jobs over the same driver; and what growth adds. */
export async function benchOutbox({ outbox, little, much, messages }: OutboxOptions): Promise<Comparison[]> {
  const { sql, url } = outbox;
  const theirs = [await graphileWorker(url), await pgBoss(url)];
  const ours = [await meterbase(sql, url, 1_000), await meterbase(sql, url, 100)];
  const all = [...theirs, ...ours];

  const enqueue = async ({ enqueue }: Outbox) => {
    for (let at = 0; at < messages; at += BATCH)
      await enqueue(Array(Math.min(BATCH, messages - at)).fill({ payload: PAYLOAD }));
  };
  const comparisons = [
    await compare(
      `enqueue, ${BATCH.toLocaleString("en-US")} at a time`,
      "messages",
      [...theirs, ours[0] as Outbox].map((outbox) => ({
        name: outbox.name,
        operations: messages,
        prepare: outbox.reset,
        run: () => enqueue(outbox),
      })),
    ),
  ];
  for (const outbox of all) await outbox.reset();
  for (const workers of [1, 2, 4]) {
    const drains = all.map(
      (outbox): Variant => ({
        name: outbox.name,
        operations: messages,
        prepare: async () => {
          await expectDrained(outbox);
          await outbox.reset();
          await sql`checkpoint`; // so that it is not written while the next is measured
          await enqueue(outbox);
          await sql`vacuum analyze`;
        },
        run: () => outbox.drain(messages, workers),
      }),
    );
    const title = `drain, ${workers} worker${workers === 1 ? "" : "s"}`;
    comparisons.push(await compare(title, "messages", drains, 3));
  }
  for (const outbox of all) await expectDrained(outbox);
  await Promise.all(all.map(({ end }) => end()));
  return [...comparisons, ...(await benchOutboxGrowth(little, much))];
}

async function expectDrained({ name, left }: Outbox): Promise<void> {
  const count = await left();
  if (count > 0) throw new Error(`${name}: ${count} messages are left`);
}
