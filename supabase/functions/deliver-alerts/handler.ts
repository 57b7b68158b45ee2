import { z } from "zod";
import { ApiError, log, parse, readText } from "../_shared/http.ts";
import { requireSecretKey } from "../_shared/secret_key.ts";
import { type Clock, within } from "./clock.ts";
import type { Notification, Outbox, Outcome } from "./outbox.ts";
import { CALL_MS } from "./reports.ts";
import { drain, FINISH_MS } from "./worker.ts";

export interface DeliverDeps {
  /** The project's secret key, which its schedule sends. */
  secretKey: string;
  outbox: Outbox;
  send: (notification: Notification) => Promise<Outcome>;
  /** Tells the database which channels the operator has; that it fails keeps nothing from being delivered. */
  register: () => Promise<void>;
  clock: Clock;
}

/** After so many milliseconds the edge runtime ends a request. */
const WALL_MS = 150_000;
const MAX_BYTES = 10_000;
const Body = z.object({ linger_seconds: z.number().min(0).max(140).default(55) });

/**
 * `POST deliver-alerts` with the secret key as `apikey`: delivers what waits in the outbox, and what comes into it within
 * `linger_seconds` (55), then answers 200 `{ sent, failed, claims }`. There may be several at once.
 */
export async function handleDelivery(request: Request, deps: DeliverDeps): Promise<Response> {
  if (request.method !== "POST") throw new ApiError(405, "method_not_allowed", "Send a POST request.");
  await requireSecretKey(request, deps.secretKey);
  const { linger_seconds } = parse(Body, jsonOf(await readText(request, MAX_BYTES)));
  const registered = within(deps.clock, CALL_MS, deps.register()).catch((error) =>
    log("error", "The operator's channels could not be registered", { error: String(error) }),
  );
  const totals = await drain(deps, Math.min(linger_seconds * 1000, WALL_MS - FINISH_MS - 1_000));
  await registered;
  return Response.json(totals);
}

/** No body is an empty one. */
function jsonOf(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "invalid_json", "The body is not JSON.");
  }
}
