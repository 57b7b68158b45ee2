import { expect, test } from "vitest";
import { ApiKeys, type NewApiKey } from "./api_keys.ts";
import type { Client } from "./client.ts";

const keys = (data: unknown, calls: unknown[] = []) => {
  const rpc = async (...call: unknown[]) => {
    calls.push(call.slice(0, 2));
    return { data, error: null, status: 200 };
  };
  return new ApiKeys({ rpc } as unknown as Client);
};

test.each([
  [{}, undefined],
  [{ expiresAt: new Date(0) }, "1970-01-01T00:00:00.000Z"],
  [{ expiresAt: "2027-01-01" }, "2027-01-01"],
] satisfies [Partial<NewApiKey>, string | undefined][])(
  "a key with %j expires %s",
  async (key, expires_at) => {
    const calls: unknown[] = [];
    const created = { id: "k", secret: "sk_live_x" };
    expect(await keys(created, calls).createApiKey("t", { name: "CI", role: "viewer", ...key })).toEqual(
      created,
    );
    expect(calls).toEqual([["create_api_key", { tenant_id: "t", name: "CI", role: "viewer", expires_at }]]);
  },
);

test("an answer without a secret is a typed error", async () => {
  const created = keys({ id: "k", secret: null }).createApiKey("t", { name: "CI", role: "viewer" });
  await expect(created).rejects.toMatchObject({ code: "unexpected_answer" });
});
