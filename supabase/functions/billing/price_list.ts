import { z } from "zod";
import type { Rows } from "../_shared/database.ts";

const Price = z.object({
  price_id: z.string(),
  plan_id: z.string(),
  name: z.string(),
  interval: z.enum(["month", "year"]),
  /** In the smallest unit of the currency. */
  unit_amount: z.number(),
  currency: z.string(),
  credits_per_month: z.number(),
  /** Null: not for sale. */
  stripe_price_id: z.string().nullable(),
  discount_percent: z.number().nullable(),
  /** Of the plan: the greater it is, the more the plan allows. */
  sort_order: z.number(),
});
export type Price = z.infer<typeof Price>;

/** All prices, from the least plan to the greatest, the cheaper price of a plan first. */
export async function readPriceList(rows: Rows): Promise<Price[]> {
  const prices = z.array(Price).parse(await rows("price_list", {}, "sort_order"));
  return prices.sort((a, b) => a.sort_order - b.sort_order || a.unit_amount - b.unit_amount);
}
