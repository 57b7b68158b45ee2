import type { Stripe } from "stripe";
import { z } from "zod";
import { cardDeclined, invalid, missing } from "./errors.ts";
import { collect, paymentIntentOf, settle, voidInvoice } from "./invoices.ts";
import { pageOf } from "./lists.ts";
import { flag, ignored, listParams, text } from "./params.ts";
import { type Route, route } from "./routes.ts";
import type { State } from "./state.ts";

const listing = {
  ...listParams,
  customer: text.optional(),
  status: z.enum(["draft", "open", "paid", "uncollectible", "void"]).optional(),
  subscription: text.optional(),
  collection_method: ignored,
};

const pay = { off_session: ignored, paid_out_of_band: flag.optional(), payment_method: text.optional() };

export const invoiceRoutes: Route[] = [
  route("GET", "/invoices", listing, (state, { customer, status, subscription, ...params }) => {
    const all = [...state.invoices.values()].filter(
      (invoice) =>
        (!customer || invoice.customer === customer) &&
        (!status || invoice.status === status) &&
        (!subscription || invoice.parent?.subscription_details?.subscription === subscription),
    );
    return pageOf(all, params, "/v1/invoices");
  }),
  route("GET", "/invoices/:id", {}, (state, _params, id) => invoiceWith(state, id)),
  route("POST", "/invoices/:id/pay", pay, (state, params, id) => {
    const invoice = invoiceWith(state, id);
    if (invoice.status === "paid") throw invalid("Invoice is already paid");
    if (invoice.status !== "open") throw invalid("This invoice can't be paid: it is not open.");
    if (params.paid_out_of_band) settle(state, invoice);
    else if (!collect(state, invoice, { paymentMethod: params.payment_method })) {
      throw cardDeclined(paymentIntentOf(state, invoice));
    }
    return invoice;
  }),
  route("POST", "/invoices/:id/void", {}, (state, _params, id) => {
    const invoice = invoiceWith(state, id);
    voidInvoice(state, invoice);
    return invoice;
  }),
];

function invoiceWith(state: State, id: string): Stripe.Invoice {
  const invoice = state.invoices.get(id);
  if (!invoice) throw missing("invoice", id);
  return invoice;
}
