import type { PostgrestError } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { z } from "zod";
import { list, Nothing } from "./rows.ts";

const Row = z.object({ id: z.string() });
const table = (data: unknown, status = 200, error: object | null = null) => {
  const asked: [number, number][] = [];
  const range = async (from: number, to: number) => {
    asked.push([from, to]);
    return { data, error: error as PostgrestError | null, status };
  };
  return { range, asked };
};

test.each([
  [undefined, [0, 999]],
  [{ limit: 10 }, [0, 9]],
  [{ limit: 10, offset: 20 }, [20, 29]],
])("%o asks for rows %j", async (options, range) => {
  const rows = table([{ id: "a" }]);
  expect(await list(rows, Row, options)).toEqual([{ id: "a" }]);
  expect(rows.asked).toEqual([range]);
});

test("a refusal is a typed error, and so is an answer of another shape", async () => {
  const error = { code: "42501", message: "no", details: "", hint: "" };
  await expect(list(table(null, 401, error), Row)).rejects.toMatchObject({
    name: "PermissionError",
    code: "42501",
  });
  await expect(list(table([{ id: 1 }]), Row)).rejects.toMatchObject({ code: "unexpected_answer" });
});

test("nothing is nothing and not something", () => {
  expect(Nothing.parse(null)).toBeUndefined();
  expect(Nothing.safeParse({}).success).toBe(false);
});
