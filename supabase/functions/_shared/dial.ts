import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Client } from "undici";

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
  /** Ends it all; what it is aborted with is what is thrown. */
  signal: AbortSignal;
}

export interface Answer {
  status: number;
  /** The header `Retry-After`. */
  retryAfter: string | null;
  /** The beginning of the body. */
  body: string;
}

export interface Trust {
  /** Certificates in PEM to trust in place of those that the runtime trusts; for tests. */
  ca?: string;
}

/** As much of an answer as is read, in bytes. */
const MAX_BYTES = 65_536;
/** How long an address may take to connect where there is another. */
const CONNECT_MS = 3_000;

/**
 * Sends one POST over a connection of its own, to the first of the addresses that takes one. The name in the URL is that of
 * the certificate and of `Host`; redirects are answers. Throws the error of the network, and sends nothing where a header is none.
 *
 * The socket is ours and the HTTP is undici's, because node:http of the hosted edge runtime (Deno 2.1) knows neither `lookup`
 * nor `createConnection`, and a connection that finds its address by itself may find another than the one that was checked.
 */
export async function dial(dialled: Dialled, trust: Trust = {}): Promise<Answer> {
  const { url, headers, body, signal } = dialled;
  let isDialled = false;
  const client = new Client(url.origin, {
    connect: (_options, done) => {
      if (isDialled) return done(new Error("The connection was closed."), null);
      isDialled = true;
      connectFirst(dialled, trust).then(
        (socket) => done(null, socket),
        (error) => done(error, null),
      );
    },
  });
  try {
    const path = url.pathname + url.search;
    const answer = await client.request({ method: "POST", path, headers, body, signal, reset: true });
    const retryAfter = [answer.headers["retry-after"]].flat()[0] ?? null;
    answer.body.on("error", () => {}); // what is not read any more may still break off
    return { status: answer.statusCode, retryAfter, body: await read(answer.body) };
  } finally {
    client.destroy().catch(() => {});
  }
}

async function connectFirst({ url, addresses, signal }: Dialled, trust: Trust): Promise<Socket> {
  let failure: unknown = new Error("There is no address.");
  for (const [i, address] of addresses.entries()) {
    const isLast = i === addresses.length - 1;
    const until = isLast ? signal : AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]);
    try {
      return await connect(url, address, until, trust);
    } catch (error) {
      if (signal.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
}

function connect(url: URL, { address, family }: Address, signal: AbortSignal, trust: Trust): Promise<Socket> {
  const isTls = url.protocol === "https:";
  const to = { host: address, port: Number(url.port) || (isTls ? 443 : 80), family };
  const name = url.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const socket = isTls
      ? connectTls({
          ...to,
          // Of an address there is no server name; what is checked then is the address, which is the URL's.
          ...(isIP(name) === 0 && { servername: name }),
          ALPNProtocols: ["http/1.1"],
          rejectUnauthorized: true,
          ...trust,
        })
      : connectTcp(to);
    const stop = () => {
      socket.destroy(); // in a handshake, Deno 2.1 keeps it open until the other side or the isolate ends
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
    const settled = () => signal.removeEventListener("abort", stop);
    socket.once(isTls ? "secureConnect" : "connect", () => {
      settled();
      resolve(socket);
    });
    socket.on("error", (error) => {
      settled();
      reject(error);
    });
    socket.once("close", () => {
      settled();
      reject(new Error("The connection was closed."));
    });
  });
}

/** A body that breaks off, or never ends, takes nothing from the status that came before it. */
async function read(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let left = MAX_BYTES;
  try {
    for await (const chunk of stream) {
      text += decoder.decode(chunk.subarray(0, left), { stream: true });
      left -= chunk.byteLength;
      if (left <= 0) break;
    }
  } catch {
    // What has come will do.
  }
  return text;
}
