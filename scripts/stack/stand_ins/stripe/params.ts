import { z } from "zod";
import { type ApiError, invalid } from "./errors.ts";
import type { Form } from "./form.ts";

/** The kinds of values in a form, in which everything is text. An empty text takes a value away. */
export const text = z.string().min(1);
export const integer = z
  .string()
  .regex(/^-?\d+$/)
  .transform(Number);
export const flag = z.enum(["true", "false"]).transform((value) => value === "true");
const empty = z.literal("").transform(() => null);
export const emptyOr = <T extends z.ZodType>(type: T) => z.union([empty, type]);
export const metadata = emptyOr(z.record(z.string(), z.string()));

export const webAddress = z.url({ error: "Not a valid URL", protocol: /^https?$/ });

/** What is taken and has no effect here. */
export const ignored = z.unknown().optional();

export const range = z.union([
  integer.transform((at) => ({ gte: at, lte: at, gt: undefined, lt: undefined })),
  z.strictObject({
    gt: integer.optional(),
    gte: integer.optional(),
    lt: integer.optional(),
    lte: integer.optional(),
  }),
]);

export const listParams = {
  created: range.optional(),
  ending_before: text.optional(),
  limit: integer.pipe(z.number().min(1).max(100)).optional(),
  starting_after: text.optional(),
};

/** The parameters as the schema gives them; what it does not take is refused as Stripe would. */
export function readParams<T extends z.ZodType>(schema: T, form: Form): z.output<T> {
  const result = schema.safeParse(form);
  if (result.success) return result.data;
  throw refusal(result.error.issues[0], form);
}

function refusal(issue: z.core.$ZodIssue | undefined, form: Form): ApiError {
  const path = issue?.path ?? [];
  if (issue?.code === "unrecognized_keys") {
    const name = nameOf([...path, ...issue.keys.slice(0, 1)]);
    return invalid(`Received unknown parameter: ${name}`, name, "parameter_unknown");
  }
  const name = nameOf(path);
  if (valueAt(form, path) === undefined) {
    return invalid(`Missing required param: ${name}.`, name, "parameter_missing");
  }
  return invalid(`Invalid ${name}: ${issue?.message ?? "not acceptable"}`, name, "parameter_invalid");
}

/** `line_items[0][price]` */
const nameOf = (path: PropertyKey[]): string =>
  path.map((key, index) => (index === 0 ? String(key) : `[${String(key)}]`)).join("");

function valueAt(form: Form, path: PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value !== null && typeof value === "object" ? Reflect.get(value, key) : undefined),
    form,
  );
}
