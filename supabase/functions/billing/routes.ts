import type Stripe from "stripe";
import { z } from "zod";
import type { Caller } from "../_shared/caller.ts";
import type { StripeSettings } from "../_shared/env.ts";

/** Stripe, and what is to be asked of it. */
export interface Shop extends Pick<StripeSettings, "redirectUrls" | "prices"> {
  stripe: Stripe;
}

/** A question about one tenant, from somebody who is known. */
export interface TenantRequest {
  caller: Caller;
  tenantId: string;
}

/** Something to do at Stripe for a tenant. */
export interface Order<Body> extends TenantRequest, Shop {
  request: Request;
  body: Body;
  /** What the request was sent with as `Idempotency-Key`. */
  idempotencyKey: string | null;
  /** For the one request to Stripe that carries the order out. */
  options: Stripe.RequestOptions;
}

/** The form of an order's body. Strict: a slip of the pen would buy or end something else than was meant. */
export const orderBody = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject({ tenant_id: z.uuid().optional(), ...shape });

export interface AddRoutes {
  /** A route that only reads. */
  read: (path: string, handle: (request: TenantRequest) => Promise<Response>) => void;
  order: <Body extends { tenant_id?: string | undefined }>(
    path: string,
    schema: z.ZodType<Body>,
    handle: (order: Order<Body>) => Promise<Response>,
  ) => void;
  /** A route for no tenant. */
  plain: (method: "get" | "post", path: string, handle: (request: Request) => Promise<Response>) => void;
}
