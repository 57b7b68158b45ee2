import { z } from "zod";
import type { Form } from "./form.ts";
import { readParams } from "./params.ts";
import type { State } from "./state.ts";

export interface Route {
  method: "GET" | "POST" | "DELETE";
  /** In Hono's form, below `/v1`. */
  path: string;
  /** The object or list that answers; throws ApiError. */
  handle(state: State, form: Form, id: string): object;
}

/** A route whose parameters are what the strict object of these takes. */
export function route<T extends z.ZodRawShape>(
  method: Route["method"],
  path: string,
  shape: T,
  handle: (state: State, params: z.output<z.ZodObject<T, z.core.$strict>>, id: string) => object,
): Route {
  const schema = z.strictObject(shape);
  return { method, path, handle: (state, form, id) => handle(state, readParams(schema, form), id) };
}
