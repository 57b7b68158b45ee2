import { type Context, Hono } from "hono";
import { html } from "hono/html";
import type { Stripe } from "stripe";
import { z } from "zod";
import { moneyText, priceText } from "./catalog.ts";
import { setCard } from "./customers.ts";
import { ApiError } from "./errors.ts";
import { button, page, terms } from "./html.ts";
import { onlyItem } from "./invoice_objects.ts";
import { collect } from "./invoices.ts";
import { dateText } from "./periods.ts";
import { runDue } from "./schedule.ts";
import type { State } from "./state.ts";
import { changeSubscription } from "./subscription_changes.ts";
import { cancel, isOver, productName } from "./subscriptions.ts";

const of = z.object({ subscription: z.string() });
const actionSchema = z.discriminatedUnion("action", [
  of.extend({ action: z.literal("cancel_at_period_end") }),
  of.extend({ action: z.literal("cancel_now") }),
  of.extend({ action: z.literal("resume") }),
  of.extend({ action: z.literal("switch"), price: z.string() }),
  z.object({ action: z.literal("pay"), invoice: z.string() }),
  z.object({ action: z.literal("card"), card: z.enum(["works", "declined"]) }),
]);
type Action = z.output<typeof actionSchema>;

/** The page at which customers look after their subscriptions. */
export function createPortalPage(state: State): Hono {
  const app = new Hono();
  app.get("/p/session/:id", (c) => show(c, state));
  app.post("/p/session/:id", async (c) => {
    const action = actionSchema.safeParse(await c.req.parseBody());
    const customer = customerOfPortal(c, state);
    if (!customer || !action.success) return show(c, state, "That is not possible.");
    try {
      act(state, customer, action.data);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return show(c, state, error.message);
    }
    return c.redirect(c.req.path, 303);
  });
  return app;
}

function customerOfPortal(c: Context, state: State): Stripe.Customer | undefined {
  runDue(state, state.clock.now());
  return state.customers.get(state.portals.get(c.req.param("id") ?? "")?.customer ?? "");
}

function act(state: State, customer: Stripe.Customer, action: Action): void {
  if (action.action === "card") {
    setCard(state, customer, action.card);
  } else if (action.action === "pay") {
    const invoice = state.invoices.get(action.invoice);
    if (invoice?.customer === customer.id && invoice.status === "open") collect(state, invoice);
  } else {
    const subscription = state.subscriptions.get(action.subscription);
    if (subscription?.customer === customer.id && !isOver(subscription)) change(state, subscription, action);
  }
}

function change(
  state: State,
  subscription: Stripe.Subscription,
  action: Exclude<Action, { action: "card" | "pay" }>,
): void {
  if (action.action === "cancel_now") {
    cancel(state, subscription);
  } else if (action.action === "switch") {
    const price = state.prices.get(action.price);
    changeSubscription(state, subscription, { price, prorationBehavior: "always_invoice" });
  } else {
    changeSubscription(state, subscription, { end: action.action === "resume" ? null : "period_end" });
  }
}

function show(c: Context, state: State, problem?: string) {
  const customer = customerOfPortal(c, state);
  if (!customer) return c.html(page("Not found", html`<h1>There is no such portal session.</h1>`), 404);
  const returnUrl = state.portals.get(c.req.param("id") ?? "")?.return_url;
  const subscriptions = [...state.subscriptions.values()].filter((it) => it.customer === customer.id);
  const open = [...state.invoices.values()].filter(
    (invoice) => invoice.customer === customer.id && invoice.status === "open",
  );
  return c.html(
    page(
      "Billing",
      html`<h1>Billing of ${customer.email ?? customer.id}</h1>
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        ${subscriptions.map((subscription) => section(state, subscription))}
        ${open.map((invoice) => {
          const label = `Pay invoice ${invoice.number} of ${moneyText(invoice.amount_due, invoice.currency)}`;
          return button(label, { action: "pay", invoice: invoice.id });
        })}
        <h2>Payment method</h2>
        ${button("Update payment method (works)", { action: "card", card: "works" })}
        ${button("Update payment method (is declined)", { action: "card", card: "declined" })}
        ${returnUrl && html`<p><a href="${returnUrl}">Return</a></p>`}`,
    ),
  );
}

function section(state: State, subscription: Stripe.Subscription) {
  const item = onlyItem(subscription);
  const named = { subscription: subscription.id };
  const ends = subscription.cancel_at;
  return html`<section>
    <h2>${productName(state, item.price)}</h2>
    ${terms([
      ["Status", subscription.status],
      ["Price", priceText(item.price)],
      ["Period", `${dateText(item.current_period_start)} to ${dateText(item.current_period_end)}`],
      ["Ends", ends === null ? null : dateText(ends)],
    ])}
    ${isOver(subscription) ? "" : buttons(state, item.price, named, ends !== null)}
  </section>`;
}

function buttons(state: State, current: Stripe.Price, named: { subscription: string }, ends: boolean) {
  return html`${
    ends
      ? button("Resume", { ...named, action: "resume" }, true)
      : button("Cancel at period end", { ...named, action: "cancel_at_period_end" })
  }
  ${button("Cancel now", { ...named, action: "cancel_now" })}
  ${[...state.prices.values()]
    .filter(({ id }) => id !== current.id)
    .map((price) =>
      button(`Switch to ${productName(state, price)}, ${priceText(price)}`, {
        ...named,
        action: "switch",
        price: price.id,
      }),
    )}`;
}
