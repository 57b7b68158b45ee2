import { type Context, Hono } from "hono";
import { html } from "hono/html";
import type { Stripe } from "stripe";
import { z } from "zod";
import { priceText } from "./catalog.ts";
import { payCheckout } from "./checkout.ts";
import { page, terms } from "./html.ts";
import { dateText } from "./periods.ts";
import { runDue } from "./schedule.ts";
import type { CheckoutNotes, State } from "./state.ts";
import { productName } from "./subscriptions.ts";

const formSchema = z.object({ card: z.enum(["works", "declined"]), email: z.string().optional() });

/** The page that `session.url` names, at which the customer pays. */
export function createCheckoutPage(state: State): Hono {
  const app = new Hono();
  app.get("/c/pay/:id", (c) => show(c, state));
  app.post("/c/pay/:id", async (c) => {
    const form = formSchema.safeParse(await c.req.parseBody());
    const { session } = lookUp(c, state);
    if (session?.status !== "open" || !form.success) return show(c, state);
    const { card, email } = form.data;
    if (!payCheckout(state, session, card, email || undefined)) {
      return show(c, state, "Your card was declined. Try another card.");
    }
    return c.redirect((session.success_url ?? "").replaceAll("{CHECKOUT_SESSION_ID}", session.id), 303);
  });
  return app;
}

function lookUp(c: Context, state: State): { session?: Stripe.Checkout.Session; notes?: CheckoutNotes } {
  runDue(state, state.clock.now());
  const session = state.checkouts.get(c.req.param("id") ?? "");
  const notes = session && state.checkoutNotes.get(session.id);
  return { ...(session && { session }), ...(notes && { notes }) };
}

function show(c: Context, state: State, problem?: string) {
  const { notes, session } = lookUp(c, state);
  if (!session || !notes) return c.html(page("Not found", html`<h1>There is no such checkout.</h1>`), 404);
  if (session.status !== "open") {
    const what = session.status === "complete" ? "is complete" : "has expired";
    return c.html(page("Checkout", html`<h1>This checkout ${what}.</h1>`), 410);
  }
  const { price, quantity } = notes;
  const onTrial = notes.trialDays !== undefined || notes.trialEnd !== undefined;
  const email = session.customer_details?.email;
  const label = onTrial ? "Start trial" : "Pay";
  return c.html(
    page(
      "Checkout",
      html`<h1>Subscribe to ${productName(state, price)}</h1>
        ${terms([
          ["Price", priceText(price)],
          ["Quantity", quantity === 1 ? null : String(quantity)],
          ["Trial", trialText(notes)],
          ["Email", email],
        ])}
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        <form method="post">
          ${emailField(email)}<input type="hidden" name="card" value="works" />
          <button class="main">${label}</button>
        </form>
        <form method="post">
          ${emailField(email)}<input type="hidden" name="card" value="declined" />
          <button>${label} with a card that is declined</button>
        </form>
        ${session.cancel_url && html`<p><a href="${session.cancel_url}">Cancel</a></p>`}`,
    ),
  );
}

const emailField = (known: string | null | undefined) =>
  known ? "" : html`<input type="email" name="email" placeholder="Email" value="customer@example.com" /> `;

function trialText({ trialDays, trialEnd }: CheckoutNotes): string | null {
  if (trialDays !== undefined) return `${trialDays} days, then the price`;
  return trialEnd === undefined ? null : `until ${dateText(trialEnd)}, then the price`;
}
