import type Stripe from "stripe";
import { z } from "zod";
import { one } from "../_shared/database.ts";
import { ApiError } from "../_shared/http.ts";
import { readAccount } from "./account.ts";
import { redirectUrl } from "./redirects.ts";
import { type AddRoutes, type Order, orderBody } from "./routes.ts";

const url = z.string().max(5_000).optional();
const priceId = z.string().min(1).max(255).optional();
const purchase = { planId: priceId, price_id: priceId };
const NewCheckout = orderBody({ ...purchase, successUrl: url, cancelUrl: url });
const NewSubscription = orderBody(purchase);
const NewPortal = orderBody({ returnUrl: url });

const Click = z.object({
  checkout_id: z.string(),
  tenant_id: z.string(),
  tenant_name: z.string(),
  stripe_price_id: z.string(),
  stripe_customer_id: z.string().nullable(),
  customer_email: z.string().nullable(),
  open_session_ids: z.array(z.string()),
});
type Click = z.infer<typeof Click>;

/** The ways to a subscription: Stripe's page, or a payment form of one's own. And the page where customers see to theirs. */
export function checkoutRoutes({ order }: AddRoutes): void {
  order("/checkout", NewCheckout, async (request) => {
    const { body, caller, options, redirectUrls, stripe } = request;
    const successUrl = backFromCheckout(redirectUrls, body.successUrl, "success");
    const cancelUrl = backFromCheckout(redirectUrls, body.cancelUrl, "canceled");
    const click = await beginCheckout(request);
    const session = await stripe.checkout.sessions.create(
      {
        mode: "subscription",
        line_items: [{ price: click.stripe_price_id, quantity: 1 }],
        // Made before, so that two sessions are of one customer.
        customer: await customerOf(stripe, click),
        client_reference_id: click.tenant_id,
        metadata: { tenant_id: click.tenant_id, checkout_id: click.checkout_id },
        subscription_data: { metadata: { tenant_id: click.tenant_id } },
        allow_promotion_codes: true,
        success_url: successUrl,
        cancel_url: cancelUrl,
      },
      options,
    );
    const expiresAt = new Date(session.expires_at * 1000).toISOString();
    await caller.rpc("record_checkout_session", {
      checkout_id: click.checkout_id,
      stripe_session_id: session.id,
      expires_at: expiresAt,
    });
    // Of two that are open both could be paid. One that is over already needs no end.
    const earlier = click.open_session_ids.filter((id) => id !== session.id);
    await Promise.allSettled(earlier.map((id) => stripe.checkout.sessions.expire(id)));
    return Response.json({ id: session.id, url: session.url, expiresAt }, { status: 201 });
  });

  order("/create", NewSubscription, async (request) => {
    const click = await beginCheckout(request);
    const subscription = await request.stripe.subscriptions.create(
      {
        customer: await customerOf(request.stripe, click),
        items: [{ price: click.stripe_price_id }],
        // The subscription begins when its first invoice is paid, with the client's secret.
        payment_behavior: "default_incomplete",
        payment_settings: { save_default_payment_method: "on_subscription" },
        metadata: { tenant_id: click.tenant_id },
        expand: ["latest_invoice.confirmation_secret"],
      },
      request.options,
    );
    const answer = {
      subscriptionId: subscription.id,
      status: subscription.status,
      clientSecret: clientSecretOf(subscription),
    };
    return Response.json(answer, { status: 201 });
  });

  order("/portal", NewPortal, async (request) => {
    const { body, options, redirectUrls, stripe } = request;
    const returnUrl = redirectUrl(redirectUrls, body.returnUrl).href;
    const { stripe_customer_id: customer } = await readAccount(request);
    if (customer === null) throw new ApiError(409, "no_customer", "The tenant has bought nothing yet.");
    const session = await stripe.billingPortal.sessions.create({ customer, return_url: returnUrl }, options);
    return Response.json({ url: session.url }, { status: 201 });
  });
}

/** What pays the latest invoice of a subscription in Stripe's own form; null where nothing is to be paid. */
export function clientSecretOf({ latest_invoice }: Stripe.Subscription): string | null {
  if (latest_invoice === null || typeof latest_invoice === "string") return null;
  return latest_invoice.confirmation_secret?.client_secret ?? null;
}

function backFromCheckout(allowed: string[], wanted: string | undefined, outcome: string): string {
  const url = redirectUrl(allowed, wanted);
  if (wanted === undefined) url.searchParams.set("checkout", outcome);
  return url.href;
}

/** Records the click on a price, which the database may refuse. */
async function beginCheckout({
  body,
  caller,
  idempotencyKey,
  request,
  tenantId,
}: Order<{ planId?: string | undefined; price_id?: string | undefined }>): Promise<Click> {
  const price_id = body.planId ?? body.price_id;
  if (price_id === undefined) throw new ApiError(400, "invalid_request", "planId: Say which price.");
  const rows = await caller.rpc("begin_checkout", {
    tenant_id: tenantId,
    price_id,
    idempotency_key: idempotencyKey,
    ip_address: clientAddress(request.headers),
  });
  return one(Click, rows);
}

/** The same order as the audit's: what the platform says before what a client could have written itself. */
function clientAddress(headers: Headers): string | null {
  const forwarded = headers.get("x-forwarded-for")?.split(",")[0]?.trim();
  return headers.get("cf-connecting-ip") ?? headers.get("x-real-ip") ?? forwarded ?? null;
}

/** A tenant's customer, which is made once. */
async function customerOf(stripe: Stripe, click: Click): Promise<string> {
  if (click.stripe_customer_id !== null) return click.stripe_customer_id;
  const customer = await stripe.customers.create(
    {
      name: click.tenant_name,
      ...(click.customer_email !== null && { email: click.customer_email }),
      metadata: { tenant_id: click.tenant_id },
    },
    { idempotencyKey: `meterbase:${click.tenant_id}:customer` },
  );
  return customer.id;
}
