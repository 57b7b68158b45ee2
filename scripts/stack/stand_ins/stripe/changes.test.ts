import { expect, test } from "vitest";
import { previousAttributes } from "./changes.ts";

test("only changed keys are told, with what they were", () => {
  expect(previousAttributes({ a: 1, b: 2, c: null }, { a: 1, b: 3, c: null })).toEqual({ b: 2 });
});

test("a nested object holds its changed keys alone, an array comes in whole", () => {
  const before = { items: { data: [{ id: 1, price: "a" }], url: "u" }, metadata: { plan: "x", tenant: "t" } };
  const after = { items: { data: [{ id: 1, price: "b" }], url: "u" }, metadata: { plan: "y", tenant: "t" } };
  expect(previousAttributes(before, after)).toEqual({
    items: { data: [{ id: 1, price: "a" }] },
    metadata: { plan: "x" },
  });
});

test("what was not there before is null, and what is there no more has its old value", () => {
  expect(previousAttributes({ metadata: { gone: "1" } }, { metadata: { come: "2" } })).toEqual({
    metadata: { come: null, gone: "1" },
  });
  expect(previousAttributes({ trial: null }, { trial: { end: 1 } })).toEqual({ trial: null });
});

test("nothing is told when nothing changed", () => {
  expect(previousAttributes({ a: { b: [1] } }, { a: { b: [1] } })).toBeUndefined();
});
