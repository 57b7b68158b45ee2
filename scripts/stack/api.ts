import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { JWT_SECRET, PUBLISHABLE_KEY, SECRET_KEY } from "./settings.ts";

export interface Api {
  fetch(request: Request): Promise<Response>;
  /** Creates what the Auth service keeps in the database. */
  createAuthSchema(): Promise<void>;
  /** Reads the database's schema anew; needed after migrations. */
  reloadSchema(): Promise<void>;
  close(): Promise<void>;
}

export interface ApiOptions {
  databaseUrl: string;
  siteUrl: string;
  smtpPort: number;
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

/** PostgREST- and Auth-compatible endpoints (`/rest/v1`, `/auth/v1`) over a database, in this process. */
export function createApi({ databaseUrl, siteUrl, smtpPort }: ApiOptions): Api {
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
  const app = new App({
    connection,
    auth: {
      enabled: true,
      site_url: siteUrl,
      jwt_secret: JWT_SECRET,
      publishable_key: PUBLISHABLE_KEY,
      secret_key: SECRET_KEY,
      email: {
        enable_signup: true,
        enable_confirmations: false,
        smtp: {
          enabled: true,
          host: "127.0.0.1",
          port: smtpPort,
          user: "meterbase",
          pass: "meterbase",
          admin_email: "auth@meterbase.local",
          sender_name: "Meterbase",
        },
      },
    },
    options: { server: { admin: false } },
  });
  return {
    fetch: (request) => app.fetch(request),
    createAuthSchema: () => app.ensureSystemSchema(),
    reloadSchema: () => connection.clearSchemaCache(),
    close: () => connection.close(),
  };
}
