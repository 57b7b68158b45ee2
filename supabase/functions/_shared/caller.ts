import { z } from "zod";
import { hashSecret, isWellFormed } from "./api_key.ts";
import { type Connection, connect, type DataApi, type Rpc } from "./database.ts";
import type { Project } from "./env.ts";
import { ApiError, bearerToken } from "./http.ts";
import { createSigner, type SignApiKeyToken } from "./signing.ts";

/** Whom a request comes from: the data API as that user or API key. */
export interface Caller extends DataApi {
  /** The tenant of an API key; a user may have several. */
  tenantId: string | null;
}

export type Identify = (request: Request) => Promise<Caller>;

export interface IdentifyDeps {
  /** The data API with a token that is asked for before each call. */
  connectAs: (token: () => Promise<string>, request: Request) => DataApi;
  /** Calls as the service role; only to ask whose API key a secret is. */
  serviceRpc: Rpc;
  /** Null where the project has no signing key. */
  sign: SignApiKeyToken | null;
}

const Authenticated = z.array(z.object({ api_key_id: z.string(), tenant_id: z.string() })).max(1);

/**
 * Reads `Authorization: Bearer …`. A user's access token is passed on: the data API checks its signature at the first call.
 * An API key is exchanged for a token of its own, a new one for each call. 401 where there is neither; a secret whose
 * checksum is wrong is refused without a query.
 */
export function createIdentify({ connectAs, serviceRpc, sign }: IdentifyDeps): Identify {
  return async (request) => {
    const credential = bearerToken(request);
    if (!credential.startsWith("sk_")) {
      return { ...connectAs(() => Promise.resolve(credential), request), tenantId: null };
    }
    if (!isWellFormed(credential)) throw invalidKey();
    if (!sign) throw new ApiError(503, "api_keys_unavailable", "METERBASE_SIGNING_JWK is not set.");
    const secret_hash = await hashSecret(credential);
    const [key] = Authenticated.parse(await serviceRpc("authenticate_api_key", { secret_hash }));
    if (!key) throw invalidKey();
    return { ...connectAs(() => sign(key.api_key_id), request), tenantId: key.tenant_id };
  };
}

const invalidKey = () => new ApiError(401, "invalid_api_key", "The API key is not valid, or not any more.");

/** What the audit keeps of the request that a call belongs to. */
const FORWARDED = ["user-agent", "x-forwarded-for", "x-request-id"];

export interface Callers {
  identify: Identify;
  /** The data API for whoever has no credential. */
  nobody: DataApi;
  /** Calls as the service role: for what no user or API key may do. */
  service: Rpc;
}

/** Callers of a project, over HTTP. */
export function projectCallers(project: Project): Callers {
  const { url, publishableKey, secretKey, signingJwk } = project;
  const open = (connection: Partial<Connection>) => connect({ url, key: publishableKey, ...connection });
  const service = open({ key: secretKey }).rpc;
  return {
    identify: createIdentify({
      connectAs: (token, request) => {
        const headers = FORWARDED.flatMap((name) => {
          const value = request.headers.get(name);
          return value === null ? [] : [[name, value]];
        });
        return open({ token, headers: Object.fromEntries(headers) });
      },
      serviceRpc: service,
      sign: signingJwk && createSigner(signingJwk, () => new Date()),
    }),
    nobody: open({}),
    service,
  };
}
