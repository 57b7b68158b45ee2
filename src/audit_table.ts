import type { Audit } from "./audit.ts";
import type { NewAuditEvent } from "./audit_event.ts";
import type { Json } from "./database.types.ts";

/** Where a builder's events go: a Meterbase, or its `audit`. */
export type AuditSource = Pick<Audit, "logAuditEvent"> | { audit: Pick<Audit, "logAuditEvent"> };

/**
 * What only the caller knows, added to what a builder says or in its place: `personal` data, an `event_id` under which the
 * event can be sent again, from the service role who acted.
 */
export type AuditDetails = Partial<Omit<NewAuditEvent, "event_type">>;

export type Values = { [key: string]: Json | undefined };
type Describe = (...args: never[]) => NewAuditEvent;

/** Each takes the tenant first and may take details last, and returns the event's id. */
export type AuditBuilders<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends (...args: infer Args) => NewAuditEvent
    ? (tenantId: string, ...args: [...Args, details?: AuditDetails]) => Promise<string>
    : never;
};

/** `table` says of each event what is particular to it, by functions without optional parameters; `common` the rest. */
export function builders<Table extends Record<string, Describe>>(
  common: (tenantId: string) => Partial<NewAuditEvent>,
  table: Table,
) {
  class Builders {
    constructor(source: AuditSource) {
      const audit = "audit" in source ? source.audit : source;
      for (const [name, describe] of Object.entries(table)) {
        const method = async (tenantId: string, ...args: never[]) => {
          const event = { ...common(tenantId), ...describe(...args) };
          const details: AuditDetails = args[describe.length] ?? {};
          const metadata = { ...event.metadata, ...details.metadata };
          const personal = { ...event.personal, ...details.personal };
          return audit.logAuditEvent(tenantId, {
            ...event,
            ...details,
            ...(Object.keys(metadata).length > 0 && { metadata }),
            ...(Object.keys(personal).length > 0 && { personal }),
          });
        };
        Object.defineProperty(this, name, { value: method, enumerable: true });
      }
    }
  }
  return Builders as unknown as new (
    source: AuditSource,
  ) => AuditBuilders<Table>;
}

/** Values under a name, and the personal ones among them apart, where they can be erased. */
export function apart<Name extends "new_values" | "metadata">(name: Name, values: Values) {
  const entries = Object.entries(values);
  const isPersonal = ([key]: [string, unknown]) => ["email", "ip_address", "user_agent"].includes(key);
  const rest = Object.fromEntries(entries.filter((entry) => !isPersonal(entry)));
  const personal = Object.fromEntries(entries.filter(isPersonal));
  return { [name]: rest, ...(Object.keys(personal).length > 0 && { personal }) } as {
    [Key in Name]: Values;
  } & { personal?: Values };
}

export function failure(severity: "warning" | "error" | "critical", error?: unknown) {
  return {
    severity,
    result: "failure" as const,
    ...(error !== undefined && { error_message: textOf(error) }),
  };
}

/** The beginning of a text for people, whatever it is of; e-mail addresses in it could never be erased. */
export function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.slice(0, 500).replaceAll(/[^\s@]+@[a-z][^\s@]*/gi, "[e-mail]");
}
