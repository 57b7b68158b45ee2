import assert from "node:assert/strict";
import { exportJWK, generateKeyPair, importJWK, jwtVerify } from "jose";
import { createSigner } from "./signing.ts";

const NOW = new Date("2026-03-01T12:00:00Z");
const OCT = { kty: "oct", k: btoa("a secret of at least 32 characters").replace(/=+$/, "") };

Deno.test("a symmetric key signs by HS256, for a minute and for one API key alone", async () => {
  const token = await createSigner(OCT, () => NOW)("key-1");
  const { payload, protectedHeader } = await jwtVerify(token, await importJWK(OCT, "HS256"), {
    currentDate: NOW,
  });
  const iat = NOW.getTime() / 1000;
  assert.deepEqual(payload, {
    role: "authenticated",
    api_key: "key-1",
    iss: "meterbase",
    aud: "authenticated",
    iat,
    exp: iat + 60,
  });
  assert.deepEqual(protectedHeader, { alg: "HS256", typ: "JWT" });
});

Deno.test("an elliptic key signs by ES256 and says by which key", async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: "key of the project" };
  const token = await createSigner(jwk, () => NOW)("key-1");
  const { payload, protectedHeader } = await jwtVerify(token, publicKey, { currentDate: NOW });
  assert.equal(payload.api_key, "key-1");
  assert.deepEqual(protectedHeader, { alg: "ES256", typ: "JWT", kid: "key of the project" });
});

Deno.test("a token is over after a minute", async () => {
  const token = await createSigner(OCT, () => NOW)("key-1");
  const currentDate = new Date(NOW.getTime() + 61_000);
  await assert.rejects(jwtVerify(token, await importJWK(OCT, "HS256"), { currentDate }), /"exp" claim/);
});
