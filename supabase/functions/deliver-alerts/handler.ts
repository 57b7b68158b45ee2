import { z } from "zod";
import { ApiError, log, parse, readOptionalJson } from "../_shared/http.ts";
import { requireSecretKey } from "../_shared/secret_key.ts";
import { type Clock, within } from "./clock.ts";
import type { Notification, Outbox, Outcome } from "./outbox.ts";
import { CALL_MS } from "./reports.ts";
import { drain, FINISH_MS, type Totals } from "./worker.ts";

export interface DeliverDeps {
  /** The project's secret key, which its schedule sends. */
  secretKey: string;
  outbox: Outbox;
  send: (notification: Notification) => Promise<Outcome>;
  /** Tells the database which channels the operator has; that it fails keeps nothing from being delivered. */
  register: () => Promise<void>;
  /** Lets work go on after the answer. */
  inBackground: (work: Promise<unknown>) => void;
  clock: Clock;
}

/** After so many milliseconds the edge runtime ends a request. */
const WALL_MS = 150_000;
const MAX_BYTES = 10_000;
const Body = z.object({
  linger_seconds: z.number().min(0).max(140).default(55),
  max_messages: z.int().min(1).max(10_000).default(600),
  background: z.boolean().default(false),
});

/**
 * `POST deliver-alerts` with the secret key as `apikey`: delivers what waits in the outbox, and what comes into it within
 * `linger_seconds` (55), then answers 200 `{ sent, failed, claims }`. There may be several at once.
 *
 * With `background: true` it answers 202 `{ accepted: true }` at once and delivers afterwards: pg_net, which the schedule
 * calls it through, sends nothing else until it has its answer. After `max_messages` (1 to 10,000, else 600) a run claims no
 * more and leaves the rest to the next one: the hosted edge runtime gives each 2 s of CPU.
 */
export async function handleDelivery(request: Request, deps: DeliverDeps): Promise<Response> {
  if (request.method !== "POST") throw new ApiError(405, "method_not_allowed", "Send a POST request.");
  await requireSecretKey(request, deps.secretKey);
  const { background, ...bounds } = parse(Body, await readOptionalJson(request, MAX_BYTES));
  const delivering = deliver(deps, bounds);
  if (!background) return Response.json(await delivering);
  deps.inBackground(delivering);
  return Response.json({ accepted: true }, { status: 202 });
}

async function deliver(
  deps: DeliverDeps,
  { linger_seconds, max_messages }: Pick<z.infer<typeof Body>, "linger_seconds" | "max_messages">,
): Promise<Totals> {
  const registered = within(deps.clock, CALL_MS, deps.register()).catch((error) =>
    log("error", "The operator's channels could not be registered", { error: String(error) }),
  );
  const lingerMs = Math.min(linger_seconds * 1000, WALL_MS - FINISH_MS - 1_000);
  const totals = await drain(deps, lingerMs, max_messages);
  await registered;
  return totals;
}
