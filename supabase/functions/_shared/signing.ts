import { importJWK, type JWK, SignJWT } from "jose";

/** How long a token for an API key is good: one call of the data API. */
const TOKEN_SECONDS = 60;

/** Signs a token for the API key with this id. */
export type SignApiKeyToken = (apiKeyId: string) => Promise<string>;

/**
 * A signer with the project's own signing key: symmetric (HS256), or ES256 with the `kid` under which the project
 * knows it. The token says nothing but which key it is for; what the key may do, the database reads from the key's row.
 */
export function createSigner(jwk: JWK, now: () => Date): SignApiKeyToken {
  const alg = jwk.alg ?? (jwk.kty === "oct" ? "HS256" : "ES256");
  let key: ReturnType<typeof importJWK> | undefined; // at the first use: a key that is broken fails no other request
  return async (apiKeyId) => {
    key ??= importJWK(jwk, alg);
    const issuedAt = Math.floor(now().getTime() / 1000);
    return new SignJWT({ role: "authenticated", api_key: apiKeyId })
      .setProtectedHeader({ alg, typ: "JWT", ...(jwk.kid && { kid: jwk.kid }) })
      .setIssuer("meterbase")
      .setAudience("authenticated")
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + TOKEN_SECONDS)
      .sign(await key);
  };
}
