import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

test("the demo ends by itself, with one JSON object that adds up", () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", "scripts/demo.ts", "--json"],
    {
      encoding: "utf8",
      timeout: 60_000,
    },
  );
  expect(status, stderr).toBe(0);
  const result = JSON.parse(stdout);
  expect(Object.keys(result)).toEqual(["tenants", "events", "tokens", "chat", "quota"]);
  expect(result.tenants).toBe(6);
  expect(result.chat.denied).toBe(1);
  expect(result.chat.sent).toBe(result.chat.allowed + 1);
  expect(result.events).toBe(2_000 + result.chat.sent);
  const tokens = result.quota.find((entry: { tenant: string; metric: string }) => {
    return entry.tenant === "Demo" && entry.metric === "tokens";
  });
  expect(tokens.used).toBeLessThanOrEqual(10_000);
  expect(tokens.used).toBeGreaterThan(9_000);
  expect(result.tokens).toBeGreaterThan(tokens.used);
}, 90_000);
