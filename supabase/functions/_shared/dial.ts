import http from "node:http";
import https from "node:https";
import type { LookupFunction } from "node:net";

/** As `node:dns` gives it. */
export interface Address {
  address: string;
  family: number;
}

export interface Dialled {
  url: URL;
  /** Where to connect to, in this order; the URL's host is not looked up again. */
  addresses: Address[];
  headers: Record<string, string>;
  body: string;
  signal: AbortSignal;
}

export interface Answer {
  status: number;
  /** The header `Retry-After`. */
  retryAfter: string | null;
  /** The beginning of the body. */
  body: string;
}

/** As much of an answer as is read, in bytes. */
const MAX_BYTES = 65_536;

/** Sends one POST over a connection of its own. The name in the URL is that of the certificate and of `Host`. */
export function dial({ url, addresses, headers, body, signal }: Dialled): Promise<Answer> {
  const bytes = new TextEncoder().encode(body);
  const lookup: LookupFunction = (_hostname, options, done) => {
    const [first] = addresses;
    if (!first) return done(new Error("no address"), "");
    if (options.all) return done(null, addresses);
    done(null, first.address, first.family);
  };
  const { request } = url.protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const options = {
      method: "POST",
      headers: { ...headers, "content-length": String(bytes.byteLength) },
      agent: false,
      lookup,
      signal,
    };
    const sent = request(url, options, (response) => {
      sent.off("error", reject).on("error", () => {});
      const retryAfter = response.headers["retry-after"] ?? null;
      read(response).then((body) => {
        resolve({ status: response.statusCode ?? 0, retryAfter, body });
        sent.destroy();
      });
    });
    sent.on("error", reject);
    sent.end(bytes);
  });
}

/** A body that breaks off, or never ends, takes nothing from the status that came before it. */
async function read(response: http.IncomingMessage): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let left = MAX_BYTES;
  try {
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk.subarray(0, left), { stream: true });
      left -= chunk.byteLength;
      if (left <= 0) break;
    }
  } catch {
    // What has come will do.
  }
  return text;
}
