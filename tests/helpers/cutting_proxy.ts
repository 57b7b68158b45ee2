import { type AddressInfo, createServer, connect as dial, type Socket } from "node:net";

/** Where a cut falls: before the server has the request, or after it has done it and before the client hears so. */
export type Cut = "request" | "answer";

export interface CuttingProxy {
  databaseUrl: string;
  /** Cuts the connection at the next query of any client; there is to be one. */
  cutNext(cut: Cut): void;
  /** How many answers of the server were withheld, each complete. */
  readonly withheld: number;
  stop(): Promise<void>;
}

// What the server says: https://www.postgresql.org/docs/current/protocol-message-formats.html
const READY_FOR_QUERY = "Z".charCodeAt(0);
const RESULTS = new Set(["D", "C", "Z"].map((type) => type.charCodeAt(0)));

/** A proxy before Postgres that can cut a connection once the server is ready for another query, which is after its commit. */
export async function startCuttingProxy(databaseUrl: string): Promise<CuttingProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let armed: Cut | undefined;
  let withheld = 0;

  const server = createServer((client) => {
    const upstream = dial(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
      socket.on("error", () => {}); // closes it
      socket.setNoDelay(true);
    }
    client.on("data", (chunk) => {
      if (armed === "request") {
        armed = undefined;
        client.destroy();
      } else upstream.write(chunk);
    });
    let pending: Buffer = Buffer.alloc(0);
    upstream.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 5) {
        const length = 1 + pending.readUInt32BE(1);
        if (pending.length < length) break;
        const message = pending.subarray(0, length);
        pending = pending.subarray(length);
        const type = message[0] as number;
        if (armed !== "answer" || !RESULTS.has(type)) client.write(message);
        else if (type === READY_FOR_QUERY) {
          armed = undefined;
          withheld++;
          client.destroy();
          return;
        }
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(databaseUrl);
  url.port = String((server.address() as AddressInfo).port);
  return {
    databaseUrl: url.toString(),
    cutNext(cut) {
      armed = cut;
    },
    get withheld() {
      return withheld;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
