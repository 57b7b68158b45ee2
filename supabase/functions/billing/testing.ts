// What the tests of billing share: a billing whose database is a stand-in, and whose Stripe is the library over a fetch
// that answers as told.
import assert from "node:assert/strict";
import type { Rpc } from "../_shared/database.ts";
import { bearerToken, withErrors } from "../_shared/http.ts";
import { connectStripe } from "../_shared/stripe.ts";
import { noWrites } from "../_shared/testing.ts";
import { createBilling } from "./app.ts";

export const TENANT = "018f0000-0000-7000-8000-000000000001";
export const SECRET_KEY = "sb_secret_of_the_project";
export const NOW = new Date("2026-03-01T12:00:00Z");
/** NOW, as Stripe writes it. */
export const SECONDS = NOW.getTime() / 1000;

/** A request to Stripe; the parameters by the names of the form: `items[0][price]`. */
export interface StripeRequest {
  route: string;
  params: Record<string, string>;
  idempotencyKey: string | null;
  authorization: string | null;
}

/** What Stripe answers, by route: an object, a function of the request, or an error with its status. */
export type StripeAnswers = Record<string, unknown>;

export const stripeError = (status: number, error: Record<string, unknown>) =>
  Response.json({ error }, { status, headers: { "stripe-should-retry": "false" } });

function fakeStripe(answers: StripeAnswers) {
  const requests: StripeRequest[] = [];
  const stripe = connectStripe(
    { secretKey: "sk_test_x", api: { protocol: "http", host: "stripe.test", port: "80" } },
    async (input, init) => {
      const url = new URL(String(input));
      const headers = new Headers(init?.headers);
      const request: StripeRequest = {
        route: `${init?.method} ${url.pathname.replace("/v1", "")}`,
        params: Object.fromEntries([...url.searchParams, ...new URLSearchParams(String(init?.body ?? ""))]),
        // The library's own, for its retries, is another each time.
        idempotencyKey:
          headers.get("idempotency-key")?.replace(/^stripe-node-retry-.*/, "of the library") ?? null,
        authorization: headers.get("authorization"),
      };
      requests.push(request);
      const given = answers[request.route];
      const answer = typeof given === "function" ? await given(request) : given;
      assert.notEqual(answer, undefined, `unexpected: ${request.route}`);
      return answer instanceof Response ? answer : Response.json(answer);
    },
  );
  return { stripe, requests };
}

export interface Setting {
  method?: string;
  /** An object, or the text itself. */
  body?: unknown;
  headers?: Record<string, string>;
  /** What database functions and tables answer; an error is thrown. */
  database?: Record<string, unknown>;
  stripe?: StripeAnswers;
  isConfigured?: boolean;
  redirectUrls?: string[];
  prices?: Record<string, string>;
}

export interface Call {
  as: string;
  name: string;
  args: Record<string, unknown>;
}

/** Sends one request to a billing; a POST, unless told otherwise, by a user who names a tenant. */
export async function send(path: string, setting: Setting = {}) {
  const { method = "POST", body, headers = {}, database = {}, isConfigured = true } = setting;
  const calls: Call[] = [];
  const answer = async (as: string, name: string, args: Record<string, unknown>) => {
    calls.push({ as, name, args });
    const given = database[name];
    const found = typeof given === "function" ? await given(args) : given;
    assert.notEqual(found, undefined, `unexpected: ${name}`);
    if (found instanceof Error) throw found;
    return found;
  };
  const rpcAs =
    (as: string): Rpc =>
    (name, args) =>
      answer(as, name, args);
  const dataApi = (as: string) => ({
    rpc: rpcAs(as),
    ...noWrites,
    rows: (table: string, match: Record<string, string>, order: string) =>
      answer(as, table, { ...match, order }),
  });
  const { stripe, requests } = fakeStripe(setting.stripe ?? {});
  const app = createBilling({
    identify: async (request) => {
      const token = bearerToken(request);
      return { ...dataApi(token), tenantId: token === "api-key" ? TENANT : null };
    },
    nobody: dataApi("nobody"),
    service: rpcAs("service"),
    secretKey: SECRET_KEY,
    shop: isConfigured
      ? {
          stripe,
          redirectUrls: setting.redirectUrls ?? ["https://app.test/billing"],
          prices: setting.prices ?? {},
        }
      : null,
    now: () => NOW,
  });
  const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const response = await withErrors(async (request) => app.fetch(request))(
    new Request(`http://local.test/billing${path}`, {
      method,
      headers: { authorization: "Bearer user-token", ...headers },
      ...(text !== undefined && { body: text }),
    }),
  );
  return { response, calls, requests };
}

export type Sent = Awaited<ReturnType<typeof send>>;

/** An error that everything stopped at: Stripe was asked for nothing. */
export async function assertRefused(sent: Sent, status: number, code: string): Promise<void> {
  await assertError(sent, status, code);
  assert.deepEqual(sent.requests, []);
}

export async function assertError({ response }: Sent, status: number, code: string): Promise<void> {
  const { error } = (await response.json()) as { error: { code: string } };
  assert.deepEqual([response.status, error.code], [status, code]);
}

export const account = (changes = {}) => [
  {
    tenant_id: TENANT,
    tenant_name: "Acme",
    stripe_customer_id: "cus_1",
    customer_email: "owner@acme.test",
    stripe_subscription_id: "sub_1",
    stripe_item_id: "si_1",
    price_id: "startup_monthly",
    status: "active",
    cancel_at_period_end: false,
    ...changes,
  },
];

const price = (price_id: string, sort_order: number, unit_amount: number, changes = {}) => ({
  price_id,
  plan_id: price_id.split("_")[0],
  name: price_id,
  interval: price_id.endsWith("annual") ? "year" : "month",
  unit_amount,
  currency: "usd",
  credits_per_month: 300,
  stripe_price_id: `price_${price_id}`,
  discount_percent: null,
  sort_order,
  ...changes,
});

/** As the database gives them: in no order within a plan. */
export const PRICES = [
  price("startup_annual", 40, 49900, { discount_percent: 15.1 }),
  price("startup_monthly", 40, 4900),
  price("enterprise_monthly", 60, 14900, { stripe_price_id: null }),
];

export const subscription = (changes = {}) => ({
  id: "sub_1",
  object: "subscription",
  status: "active",
  cancel_at: null,
  cancel_at_period_end: false,
  items: { object: "list", data: [{ id: "si_1", current_period_end: SECONDS + 86_400 }] },
  latest_invoice: null,
  pending_update: null,
  ...changes,
});
