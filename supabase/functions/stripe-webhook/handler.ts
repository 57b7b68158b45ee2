import Stripe from "stripe";
import type { Rpc } from "../_shared/database.ts";
import { ApiError, log, readText } from "../_shared/http.ts";
import { notConfigured } from "../_shared/stripe.ts";
import { ingestEvent, StripeEvent } from "../_shared/stripe_events.ts";

export interface WebhookDeps {
  /** Signing secrets of the endpoint; none where Stripe is not configured. */
  secrets: string[];
  /** Calls as the service role. */
  service: Rpc;
  now: () => Date;
}

const MAX_BYTES = 1_000_000;
/** How old a signature may be; Stripe signs each attempt to deliver anew. */
const TOLERANCE_SECONDS = 300;
/** What the library takes for no tolerance asked for. */
const ANY_AGE = 0;

const REJECTIONS = {
  signature_missing: "There is no stripe-signature header.",
  signature_invalid: "The signature is not that of this body.",
  timestamp_out_of_tolerance: "The signature is too old.",
  body_invalid: "The body is not an event.",
};
type Rejection = keyof typeof REJECTIONS;

const cryptoProvider = Stripe.createSubtleCryptoProvider();

/**
 * `POST stripe-webhook`: 200 `{ received, status }` once the database has the event, also for one that it could not apply
 * yet; 400 for what Stripe did not sign or is no event, of which nothing is kept; 503 while the database cannot be reached,
 * so that Stripe sends it again.
 */
export async function handleWebhook(request: Request, deps: WebhookDeps): Promise<Response> {
  if (request.method !== "POST") throw new ApiError(405, "method_not_allowed", "Send a POST request.");
  if (deps.secrets.length === 0) throw notConfigured("STRIPE_SECRET_KEY or STRIPE_WEBHOOK_SECRET");
  const header = request.headers.get("stripe-signature");
  if (!header) throw await rejected(deps, "signature_missing");
  const body = await readText(request, MAX_BYTES);
  const flaw = await flawOf(body, header, deps);
  if (flaw) throw await rejected(deps, flaw);
  // The signed text itself: what the library makes of it is not what Stripe wrote.
  const event = StripeEvent.parse(JSON.parse(body));
  const { status } = await ingestEvent(deps.service, event, deps.now).catch(async (error) => {
    if (!(error instanceof ApiError) || error.status === 503) throw error;
    if (error.status === 400) throw await rejected(deps, "body_invalid");
    throw new Error(`The database refused an event: ${error.code}: ${error.message}`);
  });
  return Response.json({ received: true, status });
}

/** Why a body is not an event that Stripe signed with one of the secrets, not long ago; null if it is. */
async function flawOf(
  body: string,
  header: string,
  { secrets, now }: WebhookDeps,
): Promise<Rejection | null> {
  const receivedAt = now().getTime();
  let flaw: Rejection = "signature_invalid";
  for (const secret of secrets) {
    const found = await flawBySecret(body, header, secret, TOLERANCE_SECONDS, receivedAt);
    if (found !== "signature_invalid") return found;
    const isOld = (await flawBySecret(body, header, secret, ANY_AGE, receivedAt)) !== "signature_invalid";
    if (isOld) flaw = "timestamp_out_of_tolerance";
  }
  return flaw;
}

async function flawBySecret(
  body: string,
  header: string,
  secret: string,
  tolerance: number,
  receivedAt: number,
): Promise<"signature_invalid" | "body_invalid" | null> {
  const { errors, webhooks } = Stripe;
  try {
    await webhooks.constructEventAsync(body, header, secret, tolerance, cryptoProvider, receivedAt);
  } catch (error) {
    return error instanceof errors.StripeSignatureVerificationError ? "signature_invalid" : "body_invalid";
  }
  return StripeEvent.safeParse(JSON.parse(body)).success ? null : "body_invalid";
}

/** Counts and logs what was refused. Whether it can be counted does not change the answer. */
async function rejected({ service }: WebhookDeps, reason: Rejection): Promise<ApiError> {
  log("error", "Webhook signature verification failed", { reason });
  await service("count_webhook_rejection", { reason }).catch((error) =>
    log("warn", "A rejected webhook could not be counted", { reason, error: String(error) }),
  );
  return new ApiError(400, reason, REJECTIONS[reason]);
}
