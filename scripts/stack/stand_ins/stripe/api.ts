import { timingSafeEqual } from "node:crypto";
import { type Context, Hono } from "hono";
import { Stripe } from "stripe";
import { catalogRoutes } from "./api_catalog.ts";
import { checkoutRoutes } from "./api_checkout.ts";
import { customerRoutes } from "./api_customers.ts";
import { invoiceRoutes } from "./api_invoices.ts";
import { eventRoutes, portalRoutes } from "./api_other.ts";
import { subscriptionRoutes } from "./api_subscriptions.ts";
import { ApiError, invalid } from "./errors.ts";
import { answer } from "./expand.ts";
import { type Form, parseForm } from "./form.ts";
import { IdempotencyKeys, type StoredAnswer } from "./idempotency.ts";
import { newId } from "./ids.ts";
import type { Route } from "./routes.ts";
import { runDue } from "./schedule.ts";
import type { State } from "./state.ts";
import type { Traffic } from "./traffic.ts";

const ROUTES: Route[] = [
  ...catalogRoutes,
  ...checkoutRoutes,
  ...customerRoutes,
  ...eventRoutes,
  ...invoiceRoutes,
  ...portalRoutes,
  ...subscriptionRoutes,
];

/** Stripe's API below `/v1`. Each request is handled in one go, so that requests never see each other half done. */
export function createApi(state: State, secretKey: string, traffic: Traffic): Hono {
  const app = new Hono();
  const keys = new IdempotencyKeys();

  /** Answers with what `work` returns for the parameters, and puts the request on record. */
  async function respond(c: Context, work: (params: Form, expand: string[]) => unknown): Promise<Response> {
    const requestId = newId("req");
    const key = c.req.method === "POST" ? (c.req.header("idempotency-key") ?? null) : null;
    const { expand, ...params } = await formOf(c);
    const endpoint = `${c.req.method} ${c.req.path}`;
    const record = { idempotency_key: key, method: c.req.method, params, path: c.req.path };
    const asked = JSON.stringify([params, expand]);
    runDue(state, state.clock.now());
    let given: StoredAnswer;
    let replayed = false;
    state.events.request = { id: requestId, idempotency_key: key };
    try {
      traffic.assertUp();
      assertKey(c.req.header("authorization"), secretKey);
      const before = key === null ? undefined : keys.replay(key, endpoint, asked, state.clock.now());
      replayed = before !== undefined;
      given = before ?? { body: JSON.stringify(work(params, textsOf(expand))), requestId, status: 200 };
    } catch (error) {
      const failure = error instanceof ApiError ? error : unexpected(error);
      given = { body: JSON.stringify(failure.body()), requestId, status: failure.status };
    } finally {
      state.events.request = { id: null, idempotency_key: null };
    }
    // What was refused before it was begun may be sent again, put right, with the same key.
    if (key !== null && !replayed && (given.status < 400 || given.status === 402)) {
      keys.keep(key, { answer: given, at: state.clock.now(), endpoint, params: asked });
    }
    traffic.record({ ...record, status: given.status });
    return new Response(given.body, {
      headers: {
        "content-type": "application/json",
        "request-id": requestId,
        "stripe-version": c.req.header("stripe-version") ?? Stripe.API_VERSION,
        ...(key !== null && { "idempotency-key": key }),
        ...(replayed && { "idempotent-replayed": "true", "original-request": given.requestId }),
      },
      status: given.status,
    });
  }

  for (const { method, path, handle } of ROUTES) {
    app.on(method, `/v1${path}`, (c) =>
      respond(c, (params, expand) => answer(state, handle(state, params, c.req.param("id") ?? ""), expand)),
    );
  }
  app.all("/v1/*", (c) =>
    respond(c, () => {
      const message = `Unrecognized request URL (${c.req.method}: ${c.req.path}).`;
      throw new ApiError(404, "invalid_request_error", message);
    }),
  );
  return app;
}

async function formOf(c: Context): Promise<Form> {
  const { search } = new URL(c.req.url);
  return parseForm([search.slice(1), await c.req.text()].filter((part) => part !== "").join("&"));
}

function textsOf(expand: Form[string] | undefined): string[] {
  if (expand === undefined) return [];
  const paths = Array.isArray(expand) ? expand : [expand];
  return paths.map((path) => {
    if (typeof path !== "string") throw invalid("Invalid array of strings", "expand");
    return path;
  });
}

function assertKey(authorization: string | undefined, secretKey: string): void {
  const given = /^Bearer (.+)$/.exec(authorization ?? "")?.[1];
  if (given === undefined) {
    throw new ApiError(
      401,
      "invalid_request_error",
      "You did not provide an API key in the Authorization header.",
    );
  }
  const [a, b] = [Buffer.from(given), Buffer.from(secretKey)];
  if (a.length !== b.length || !timingSafeEqual(a, b)) {
    throw new ApiError(401, "invalid_request_error", `Invalid API Key provided: ${given.slice(0, 8)}****`);
  }
}

function unexpected(error: unknown): ApiError {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ApiError(500, "api_error", `The stand-in failed: ${message}`);
}
