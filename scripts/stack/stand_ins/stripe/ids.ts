import { randomBytes } from "node:crypto";

const LENGTH = 24;

/** An id such as Stripe's: `sub_` and 24 letters and digits. */
export function newId(prefix: string): string {
  let letters = "";
  while (letters.length < LENGTH)
    letters += randomBytes(LENGTH)
      .toString("base64")
      .replace(/[^A-Za-z0-9]/g, "");
  return `${prefix}_${letters.slice(0, LENGTH)}`;
}

/** The id of something that may be expanded. */
export const idOf = (reference: string | { id: string }): string =>
  typeof reference === "string" ? reference : reference.id;
