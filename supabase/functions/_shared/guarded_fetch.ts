import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Address, type Answer, dial } from "./dial.ts";
import { isPublicAddress } from "./public_address.ts";

export type { Answer } from "./dial.ts";

/** Why nothing was sent to a URL, and never will be; its message names neither the URL nor what it resolves to. */
export class UrlRefused extends Error {
  override name = "UrlRefused";
}

export interface PostOptions {
  headers: Record<string, string>;
  body: string;
  /** Ends it all, from the look-up of the name on. */
  signal: AbortSignal;
}

/** Sends a POST and reads the answer, whatever its status; throws UrlRefused, or the error of the network. */
export type Post = (url: string, options: PostOptions) => Promise<Answer>;

export interface Guard {
  /** Hosts, as `host` or `host:port`, that are not checked and may be spoken to in plain HTTP. */
  allowedHosts?: string[];
  resolve?: (hostname: string) => Promise<Address[]>;
  dial?: typeof dial;
}

const INNER_NAME = /(^|\.)(localhost|internal|local)$/;

/**
 * A POST to a URL that somebody else chose. The name is looked up once, each address that it has is checked, and what is
 * dialled is what was checked, so that a name cannot change its mind in between. Redirects are not followed.
 */
export function guardedPost({
  allowedHosts = [],
  resolve = (name) => lookup(name, { all: true }),
  ...guard
}: Guard = {}): Post {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  return async (text, { headers, body, signal }) => {
    signal.throwIfAborted();
    const url = parseUrl(text);
    const isAllowed = allowed.has(url.hostname) || allowed.has(`${url.hostname}:${portOf(url)}`);
    if (!isAllowed) requirePublicName(url);
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    const family = isIP(host);
    const addresses = family === 0 ? await untilAborted(resolve(host), signal) : [{ address: host, family }];
    if (!isAllowed) requirePublicAddresses(addresses);
    return await (guard.dial ?? dial)({ url, addresses, headers, body, signal });
  };
}

function parseUrl(text: string): URL {
  const url = URL.parse(text); // makes 127.0.0.1 of 0x7f.1, 2130706433 and 0177.0.0.1
  if (!url) throw new UrlRefused("The URL is none.");
  if (url.protocol !== "https:" && url.protocol !== "http:") throw new UrlRefused("The URL is not of https.");
  if (url.username || url.password) throw new UrlRefused("The URL has credentials in it.");
  return url;
}

function requirePublicName({ protocol, hostname }: URL): void {
  if (protocol !== "https:") throw new UrlRefused("The URL is not of https.");
  if (INNER_NAME.test(hostname.replace(/\.+$/, ""))) {
    throw new UrlRefused("The URL's host is not of the public internet.");
  }
}

/** One that is not public is one too many: which of them is dialled is not ours to say. */
function requirePublicAddresses(addresses: Address[]): void {
  if (addresses.length > 0 && addresses.every(({ address }) => isPublicAddress(address))) return;
  throw new UrlRefused("The URL's host is not of the public internet.");
}

const portOf = ({ port, protocol }: URL) => port || (protocol === "https:" ? "443" : "80");

/** A look-up cannot be called off; who waits for it can. */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
