import postgres, { type Sql } from "postgres";

/** A client with one database connection, and a new one after each loss: the driver's own may stay silent after a lost one. */
export class Client {
  #sql: Sql;
  /** How many connections it has lost. */
  lost = 0;

  constructor(
    readonly databaseUrl: string,
    readonly name = "meterbase test",
  ) {
    this.#sql = this.#connect();
  }

  /** The result, or undefined when the server went away meanwhile or was not there. */
  async attempt<T>(work: (sql: Sql) => Promise<T>): Promise<T | undefined> {
    try {
      return await work(this.#sql);
    } catch (error) {
      if (!isLost(error)) throw error;
      this.lost++;
      await this.end();
      await new Promise((resolve) => setTimeout(resolve, 20)); // a server that starts needs the processor as well
      this.#sql = this.#connect();
      return undefined;
    }
  }

  /** The result of the first attempt that has one. */
  async insist<T extends {}>(work: (sql: Sql) => Promise<T>): Promise<T> {
    for (;;) {
      const result = await this.attempt(work);
      if (result !== undefined) return result;
    }
  }

  end(): Promise<void> {
    return this.#sql.end({ timeout: 0 });
  }

  #connect(): Sql {
    return postgres(this.databaseUrl, {
      max: 1,
      connect_timeout: 5,
      fetch_types: false, // nobody would hear that this query failed
      onnotice: () => {},
      connection: { application_name: this.name },
    });
  }
}

/** Whether a query failed because its server went away, or is not there yet. */
export function isLost(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const lost = ["CONNECTION_CLOSED", "CONNECTION_ENDED", "CONNECTION_DESTROYED", "CONNECT_TIMEOUT"];
  // 57P01 to 57P05: shutting down, crashed, starting up; 08: connections; the rest is the system's.
  return /^(57P0\d|08...|E[A-Z]+)$/.test(code) || lost.includes(code);
}
