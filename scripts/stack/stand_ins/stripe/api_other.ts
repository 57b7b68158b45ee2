import { z } from "zod";
import { customerOf } from "./customers.ts";
import { missing } from "./errors.ts";
import { pageOf } from "./lists.ts";
import { ignored, listParams, text, webAddress } from "./params.ts";
import { createPortal } from "./portal.ts";
import { type Route, route } from "./routes.ts";

const portal = {
  customer: text,
  return_url: webAddress.optional(),
  configuration: ignored,
  flow_data: ignored,
  locale: ignored,
};

const events = {
  ...listParams,
  type: text.optional(),
  types: z.array(text).max(20).optional(),
  delivery_success: ignored,
};

export const portalRoutes: Route[] = [
  route("POST", "/billing_portal/sessions", portal, (state, params) =>
    createPortal(state, customerOf(state, params.customer, "customer"), params.return_url),
  ),
];

export const eventRoutes: Route[] = [
  route("GET", "/events", events, (state, { type, types, ...params }) => {
    const wanted = type === undefined ? types : [type];
    const all = state.events.all.filter((event) => !wanted || wanted.some((it) => matches(event.type, it)));
    return pageOf(all, params, "/v1/events");
  }),
  route("GET", "/events/:id", {}, (state, _params, id) => {
    const event = state.events.all.find((it) => it.id === id);
    if (!event) throw missing("event", id);
    return event;
  }),
];

/** `customer.*` stands for all that begins so. */
const matches = (type: string, wanted: string): boolean =>
  wanted.endsWith("*") ? type.startsWith(wanted.slice(0, -1)) : type === wanted;
