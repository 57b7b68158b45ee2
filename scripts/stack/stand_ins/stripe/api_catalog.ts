import { z } from "zod";
import { priceOf, productOf } from "./catalog.ts";
import { missing } from "./errors.ts";
import { idOf, newId } from "./ids.ts";
import { pageOf } from "./lists.ts";
import { emptyOr, flag, ignored, integer, listParams, metadata, text } from "./params.ts";
import { type Route, route } from "./routes.ts";
import type { State } from "./state.ts";

const recurring = z.strictObject({
  interval: z.enum(["month", "year"]),
  interval_count: z.literal("1").optional(),
});

export const catalogRoutes: Route[] = [
  route(
    "POST",
    "/products",
    {
      description: emptyOr(text).optional(),
      id: text.optional(),
      metadata: metadata.optional(),
      name: text,
      active: ignored,
    },
    (state, { description, id, metadata, name }) => {
      const product = productOf(name, state.clock.now());
      Object.assign(product, {
        description: description ?? null,
        id: id ?? newId("prod"),
        metadata: metadata ?? {},
      });
      state.products.set(product.id, product);
      state.events.emit("product.created", product);
      return product;
    },
  ),
  route("GET", "/products", { ...listParams, active: flag.optional() }, (state, params) => {
    const all = [...state.products.values()].filter(({ active }) => active === (params.active ?? active));
    return pageOf(all, params, "/v1/products");
  }),
  route("GET", "/products/:id", {}, (state, _params, id) => {
    const product = state.products.get(id);
    if (!product) throw missing("product", id);
    return product;
  }),
  route(
    "POST",
    "/prices",
    {
      currency: text,
      lookup_key: text.optional(),
      metadata: metadata.optional(),
      nickname: text.optional(),
      product: text,
      recurring,
      unit_amount: integer,
    },
    (state, params) => {
      const { currency, product, recurring, unit_amount: unitAmount } = params;
      if (!state.products.has(product)) throw missing("product", product, "product");
      const sellable = { currency, id: newId("price"), interval: recurring.interval, product, unitAmount };
      const price = priceOf(sellable, product, state.clock.now());
      Object.assign(price, {
        lookup_key: params.lookup_key ?? null,
        metadata: params.metadata ?? {},
        nickname: params.nickname ?? null,
      });
      state.prices.set(price.id, price);
      state.events.emit("price.created", price);
      return price;
    },
  ),
  route(
    "GET",
    "/prices",
    {
      ...listParams,
      active: flag.optional(),
      lookup_keys: z.array(text).optional(),
      product: text.optional(),
      currency: ignored,
      recurring: ignored,
      type: ignored,
    },
    (state, params) => {
      const keys = params.lookup_keys;
      const all = [...state.prices.values()].filter(
        (price) =>
          idOf(price.product) === (params.product ?? idOf(price.product)) &&
          price.active === (params.active ?? price.active) &&
          (!keys || keys.includes(price.lookup_key ?? "")),
      );
      return pageOf(all, params, "/v1/prices");
    },
  ),
  route("GET", "/prices/:id", {}, (state, _params, id) => priceWith(state, id)),
];

/** 404 when the path named it, 400 when the parameter `param` did. */
export function priceWith(state: State, id: string, param?: string) {
  const price = state.prices.get(id);
  if (!price) throw missing("price", id, param);
  return price;
}
