export type ErrorType =
  | "invalid_request_error"
  | "idempotency_error"
  | "card_error"
  | "authentication_error"
  | "api_error";

/** What Stripe answers instead of an object; the official library throws its own class for each `type`. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly type: ErrorType,
    message: string,
    readonly details: { code?: string; param?: string; decline_code?: string; payment_intent?: unknown } = {},
  ) {
    super(message);
  }

  body() {
    return { error: { type: this.type, message: this.message, ...this.details } };
  }
}

/** A request with a parameter that Stripe does not take (400). */
export const invalid = (message: string, param?: string, code?: string) =>
  new ApiError(400, "invalid_request_error", message, {
    ...(code !== undefined && { code }),
    ...(param !== undefined && { param }),
  });

/** Something that is not there: 404 when the path names it, 400 when a parameter does. */
export const missing = (what: string, id: string, param?: string) =>
  new ApiError(param === undefined ? 404 : 400, "invalid_request_error", `No such ${what}: '${id}'`, {
    code: "resource_missing",
    param: param ?? "id",
  });

export const cardDeclined = (paymentIntent?: unknown) =>
  new ApiError(402, "card_error", "Your card was declined.", {
    code: "card_declined",
    decline_code: "generic_decline",
    ...(paymentIntent !== undefined && { payment_intent: paymentIntent }),
  });
