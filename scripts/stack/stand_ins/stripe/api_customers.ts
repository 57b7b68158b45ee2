import type { Stripe } from "stripe";
import { z } from "zod";
import {
  type CustomerFields,
  createCustomer,
  customerOf,
  deleteCustomer,
  updateCustomer,
} from "./customers.ts";
import { pageOf } from "./lists.ts";
import { emptyOr, ignored, listParams, metadata, text } from "./params.ts";
import { type Route, route } from "./routes.ts";
import type { State } from "./state.ts";
import { cancel, isOver } from "./subscriptions.ts";

const fields = {
  description: emptyOr(text).optional(),
  email: emptyOr(text).optional(),
  invoice_settings: z.strictObject({ default_payment_method: text.optional() }).optional(),
  metadata: metadata.optional(),
  name: emptyOr(text).optional(),
  payment_method: text.optional(),
  phone: emptyOr(text).optional(),
  address: ignored,
  preferred_locales: ignored,
  tax: ignored,
  tax_exempt: ignored,
};

function fieldsOf(params: z.output<z.ZodObject<typeof fields>>): CustomerFields {
  const { description, email, invoice_settings, name, phone } = params;
  const paymentMethod = invoice_settings?.default_payment_method ?? params.payment_method;
  return { description, email, metadata: params.metadata, name, paymentMethod, phone };
}

export const customerRoutes: Route[] = [
  route("POST", "/customers", fields, (state, params) => createCustomer(state, fieldsOf(params))),
  route("GET", "/customers", { ...listParams, email: text.optional() }, (state, params) => {
    const { email } = params;
    const all = [...state.customers.values()].filter((customer) => !email || customer.email === email);
    return pageOf(all, params, "/v1/customers");
  }),
  route("GET", "/customers/:id", {}, (state, _params, id) =>
    state.deletedCustomers.has(id) ? deleted("customer", id) : customerOf(state, id),
  ),
  route("POST", "/customers/:id", fields, (state, params, id) => {
    const customer = customerOf(state, id);
    updateCustomer(state, customer, fieldsOf(params));
    return customer;
  }),
  route("DELETE", "/customers/:id", {}, (state, _params, id) => {
    const customer = customerOf(state, id);
    for (const subscription of subscriptionsOf(state, id)) cancel(state, subscription);
    deleteCustomer(state, customer);
    return deleted("customer", id);
  }),
];

const subscriptionsOf = (state: State, customer: string): Stripe.Subscription[] =>
  [...state.subscriptions.values()].filter((it) => it.customer === customer && !isOver(it));

const deleted = (object: "customer", id: string): Stripe.DeletedCustomer => ({ id, object, deleted: true });
