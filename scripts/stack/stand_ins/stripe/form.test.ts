import { expect, test } from "vitest";
import { parseForm } from "./form.ts";

test("nested brackets become objects and arrays of texts", () => {
  const encoded =
    "items[0][price]=p&items[0][quantity]=2&metadata[a b]=c%26d&expand[]=x&expand[]=y&mode=m&email=";
  expect(parseForm(encoded)).toEqual({
    email: "",
    expand: ["x", "y"],
    items: [{ price: "p", quantity: "2" }],
    metadata: { "a b": "c&d" },
    mode: "m",
  });
});

test("encoded brackets are brackets, and indices say the order", () => {
  expect(parseForm("a%5B1%5D=second&a%5B0%5D=first&created[gte]=5")).toEqual({
    a: ["first", "second"],
    created: { gte: "5" },
  });
});

test("a key such as __proto__ is a key like any other", () => {
  const form = parseForm("metadata[__proto__]=x");
  expect(Object.keys(form.metadata as object)).toEqual(["__proto__"]);
  expect(Object.prototype).not.toHaveProperty("x");
});
