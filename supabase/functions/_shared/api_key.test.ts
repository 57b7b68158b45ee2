import assert from "node:assert/strict";
import { hashSecret, isWellFormed } from "./api_key.ts";

// Made by private.new_api_key_secret; in two parts, so that nobody takes them for keys that leaked.
const LIVE = ["sk_live_", "hVpBPk6uY7rqgbQB5c0DJGMbuYAUo30p8JeS"].join("");
const TEST = ["sk_test_", "myPrcPcJg9TYsHlzTmSG3E3gqrMhSW22aExK"].join("");

Deno.test("what the database made is well-formed", () => {
  assert.equal(isWellFormed(LIVE), true);
  assert.equal(isWellFormed(TEST), true);
});

for (const [fault, secret] of Object.entries({
  "the other prefix": LIVE.replace("live", "test"),
  "another prefix": LIVE.replace("live", "prod"),
  "one character less": LIVE.slice(0, -1),
  "one character more": `${LIVE}0`,
  "a line break at its end": `${LIVE}\n`,
  "a space in front": ` ${LIVE}`,
  "a character that is no digit of base62": LIVE.replace("V", "-"),
  "the other case": LIVE.toLowerCase(),
  nothing: "",
  "a prefix alone": "sk_live_",
})) {
  Deno.test(`${fault}: malformed`, () => assert.equal(isWellFormed(secret), false));
}

Deno.test("every change of one character, and every two that change places, is found", () => {
  const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  for (let i = 8; i < LIVE.length; i++) {
    for (const digit of digits) {
      if (digit === LIVE[i]) continue;
      const changed = LIVE.slice(0, i) + digit + LIVE.slice(i + 1);
      assert.equal(isWellFormed(changed), false, changed);
    }
    const swapped = LIVE.slice(0, i) + LIVE.charAt(i + 1) + LIVE.charAt(i) + LIVE.slice(i + 2);
    if (swapped !== LIVE) assert.equal(isWellFormed(swapped), false, swapped);
  }
});

Deno.test("a secret is known by its SHA-256 in hexadecimal", async () => {
  assert.equal(await hashSecret("x"), "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881");
});
