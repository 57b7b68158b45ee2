import Stripe from "stripe";
import type { StripeSettings } from "./env.ts";
import { ApiError, log } from "./http.ts";

/** Told what became of each request to Stripe, retries included; without `error` where it was answered. */
export type ReportCall = (ok: boolean, error?: string) => void;

/** A client of Stripe; the API version is the library's own. */
export function connectStripe(
  { secretKey, api }: Pick<StripeSettings, "secretKey" | "api">,
  fetchFn?: typeof fetch,
  report?: ReportCall,
): Stripe {
  return new Stripe(secretKey, {
    ...api,
    httpClient: Stripe.createFetchHttpClient(report ? reporting(fetchFn ?? fetch, report) : fetchFn),
    maxNetworkRetries: 2,
    timeout: 20_000,
    telemetry: false,
    appInfo: { name: "meterbase" },
  });
}

/** A Stripe that cannot be reached, is broken or has had enough of us failed; what it refuses, it answered. */
function reporting(fetchFn: typeof fetch, report: ReportCall): typeof fetch {
  return async (input, init) => {
    let response: Response;
    try {
      response = await fetchFn(input, init);
    } catch (error) {
      report(false, `Stripe cannot be reached (${error instanceof Error ? error.name : typeof error}).`);
      throw error;
    }
    const { status } = response;
    if (status >= 500 || status === 429) report(false, `Stripe answered ${status}.`);
    else report(true);
    return response;
  };
}

export const notConfigured = (what: string) =>
  new ApiError(503, "stripe_not_configured", `${what} is not set.`);

/**
 * What a failure of Stripe is for whoever asked: 402 `payment_failed`, 409 `stripe_object_missing` or
 * `idempotency_key_reused`, 502 `stripe_refused`, 503 `stripe_unavailable`; a key that Stripe does not accept is nobody's
 * business, hence a 500. All but declined payments are logged. What is no failure of Stripe stays as it is.
 */
export function fromStripe(error: unknown): unknown {
  const { errors } = Stripe;
  if (!(error instanceof errors.StripeError)) return error;
  if (error instanceof errors.StripeCardError) return new ApiError(402, "payment_failed", error.message);
  const isOfKey =
    error instanceof errors.StripeAuthenticationError || error instanceof errors.StripePermissionError;
  log("error", "Stripe API request failed", {
    type: error.type,
    code: error.code,
    param: error.param,
    status: error.statusCode,
    request_id: error.requestId,
    ...(!isOfKey && { error: error.message }), // such a message tells a part of the key
  });
  if (isOfKey) return new ApiError(500, "internal_error", "Something went wrong.");
  if (error instanceof errors.StripeIdempotencyError) {
    return new ApiError(409, "idempotency_key_reused", "The idempotency key was used for another request.");
  }
  if (error instanceof errors.StripeInvalidRequestError) {
    return error.code === "resource_missing"
      ? new ApiError(
          409,
          "stripe_object_missing",
          "Stripe does not know what this is about, or not any more.",
        )
      : new ApiError(502, "stripe_refused", "Stripe refused the request.");
  }
  return new ApiError(503, "stripe_unavailable", "Stripe cannot be reached; try again.");
}
