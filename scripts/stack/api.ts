import { App, SmtpEmailDriver } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import postgres from "postgres";
import { JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY } from "./settings.ts";

export interface Api {
  fetch(request: Request): Promise<Response>;
  stop(): Promise<void>;
}

// A JSON argument must reach Postgres as it came; the driver would encode the text a second time.
const json = (oid: number) => ({
  to: oid,
  from: [oid],
  serialize: (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value)),
  parse: JSON.parse,
});

// PostgREST answers with JSON as Postgres makes it: numbers, and timestamps in ISO 8601.
const numeric = { to: 1700, from: [1700], serialize: String, parse: Number };
const timestamptz = {
  to: 1184,
  from: [1184],
  serialize: (value: unknown) => (value instanceof Date ? value.toISOString() : String(value)),
  parse: (text: string) => text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"),
};

/**
 * PostgREST- and Auth-compatible endpoints (`/rest/v1`, `/auth/v1`) over a migrated database, in this process.
 * Auth sends its mails to `smtpPort`.
 */
export function createApi(options: { databaseUrl: string; siteUrl: string; smtpPort: number }): Api {
  logRefusalsInOneLine();
  const connection = connect(options.databaseUrl);
  const email = new SmtpEmailDriver({
    host: "127.0.0.1",
    port: options.smtpPort,
    from: { address: "auth@meterbase.local", name: "Meterbase" },
  });
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: options.siteUrl,
      jwt_secret: JWT_SECRET,
      publishable_key: PUBLISHABLE_KEY,
      secret_key: SECRET_KEY,
      email: { enable_signup: true, enable_confirmations: false },
    },
    options: { server: { admin: false }, drivers: { email } },
  });
  return {
    fetch: async (request) => asPostgrest(await app.fetch(request)),
    stop: () => connection.close(),
  };
}

/** What a check refuses is a 400 with its SQLSTATE at PostgREST; here it would be a 500 with a code of no meaning. */
async function asPostgrest(response: Response): Promise<Response> {
  if (response.status !== 500) return response;
  const body = (await response
    .clone()
    .json()
    .catch(() => null)) as { code?: string; message?: string } | null;
  if (body?.code !== "SUP" || !body.message?.includes("violates check constraint")) return response;
  const message = body.message.replace(/^PostgresError: /, "");
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return Response.json({ ...body, code: "23514", message }, { status: 400, headers });
}

/** Creates what the Auth service keeps in the database: the `auth` schema. */
export async function createAuthSchema(databaseUrl: string): Promise<void> {
  const connection = connect(databaseUrl);
  try {
    await new App({ connection, auth: { enabled: true } }).ensureSystemSchema();
  } finally {
    await connection.close();
  }
}

function connect(databaseUrl: string) {
  process.env.LITE_TELEMETRY = "0";
  const connection = createPostgresConnection({
    url: databaseUrl,
    // Read the schema once, not at every request; the driver's type does not know the option yet.
    introspection: { useCache: true } as object,
    postgresOptions: {
      max: 20,
      onnotice: () => {},
      types: { json: json(114), jsonb: json(3802), numeric, timestamptz },
    },
  });
  // Otherwise it grants everything on every table to the API roles when it first meets row level security.
  Object.assign(connection, { rlsState: "active" });
  return connection;
}

/** The API logs every refusal of the database with its stack, though the caller gets it as the answer. */
function logRefusalsInOneLine(): void {
  const { error } = console;
  console.error = (...args: unknown[]) => {
    const [first] = args;
    if (first instanceof postgres.PostgresError)
      error(`api: ${first.code} ${first.hint ?? ""} ${first.message}`);
    else error(...args);
  };
}
