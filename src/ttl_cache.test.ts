import { beforeEach, expect, test } from "vitest";
import { TtlCache } from "./ttl_cache.ts";

let time = 0;
let loads = 0;
const load = async () => ++loads;
const cache = () => new TtlCache<number>(1_000, () => time);

beforeEach(() => {
  time = 0;
  loads = 0;
});

test("an answer is remembered by its key until its time is over", async () => {
  const remembered = cache();
  expect(await remembered.get("a", load)).toBe(1);
  expect(await remembered.get("b", load)).toBe(2);
  time = 999;
  expect(await remembered.get("a", load)).toBe(1);
  time = 1_000;
  expect(await remembered.get("a", load)).toBe(3);
});

test("a fresh answer is asked for, and is what is remembered then", async () => {
  const remembered = cache();
  await remembered.get("a", load);
  expect(await remembered.get("a", load, { fresh: true })).toBe(2);
  time = 500;
  expect(await remembered.get("a", load)).toBe(2);
});

test("who asks at the same time asks once", async () => {
  const remembered = cache();
  expect(await Promise.all([remembered.get("a", load), remembered.get("a", load)])).toEqual([1, 1]);
});

test("a failure is told to who asked, and is not remembered", async () => {
  const remembered = cache();
  const fail = () => Promise.reject(new Error("away"));
  await expect(remembered.get("a", fail)).rejects.toThrow("away");
  expect(await remembered.get("a", load)).toBe(1);
});

test("a failure does not take along what was asked after it", async () => {
  const remembered = cache();
  let fail = (_: Error) => {};
  const slow = new Promise<number>((_, reject) => {
    fail = reject;
  });
  const first = remembered.get("a", () => slow);
  await remembered.get("a", load, { fresh: true });
  fail(new Error("late"));
  await expect(first).rejects.toThrow("late");
  expect(await remembered.get("a", load)).toBe(1);
});

test("what came by other ways is remembered, and all is forgotten when asked to", async () => {
  const remembered = cache();
  remembered.set("a", 7);
  expect(await remembered.get("a", load)).toBe(7);
  remembered.clear();
  expect(await remembered.get("a", load)).toBe(1);
});

test("of more than 1,000 keys the one that was answered first is forgotten", async () => {
  const remembered = cache();
  for (let key = 0; key < 1_000; key += 1) remembered.set(String(key), key);
  remembered.set("0", 0);
  remembered.set("1000", 1_000);
  expect(await remembered.get("0", load)).toBe(0);
  expect(await remembered.get("2", load)).toBe(2);
  expect(loads).toBe(0);
  expect(await remembered.get("1", load)).toBe(1);
  expect(loads).toBe(1);
});
