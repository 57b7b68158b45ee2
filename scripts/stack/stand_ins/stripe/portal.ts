import type { Stripe } from "stripe";
import { newId } from "./ids.ts";
import type { State } from "./state.ts";

export function createPortal(
  state: State,
  customer: Stripe.Customer,
  returnUrl: string | undefined,
): Stripe.BillingPortal.Session {
  const id = newId("bps");
  const portal: Stripe.BillingPortal.Session = {
    id,
    object: "billing_portal.session",
    configuration: "bpc_stand_in",
    created: state.clock.now(),
    customer: customer.id,
    customer_account: null,
    flow: null,
    livemode: false,
    locale: null,
    on_behalf_of: null,
    return_url: returnUrl ?? null,
    url: `${state.url}/p/session/${id}`,
  };
  state.portals.set(id, portal);
  state.events.emit("billing_portal.session.created", portal);
  return portal;
}
