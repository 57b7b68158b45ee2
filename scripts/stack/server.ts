import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";

export interface Server {
  url: string;
  port: number;
  stop(): Promise<void>;
}

/** Serves a fetch handler on a loopback port (0: any free one). */
export function startServer(
  fetch: (request: Request) => Response | Promise<Response>,
  port = 0,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname: "127.0.0.1" }, (address: AddressInfo) => {
      resolve({
        url: `http://127.0.0.1:${address.port}`,
        port: address.port,
        stop: () =>
          new Promise((done) => {
            server.close(() => done());
            if ("closeAllConnections" in server) server.closeAllConnections();
          }),
      });
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      const taken = `Port ${port} is taken; end what uses it, or choose another with --port (0: any free one).`;
      reject(error.code === "EADDRINUSE" ? new Error(taken) : error);
    });
  });
}
