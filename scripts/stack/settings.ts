/** The keys and secret that every local Supabase uses (`supabase start` prints the same); never those of a project. */
export const PUBLISHABLE_KEY = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH";
export const SECRET_KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz";
export const JWT_SECRET = "super-secret-jwt-token-with-at-least-32-characters-long";
export const DEFAULT_PORT = 54321;
/** The key that tokens for API keys are signed with: the project's own, as a JWK. */
export const SIGNING_JWK = { kty: "oct", alg: "HS256", k: Buffer.from(JWT_SECRET).toString("base64url") };
