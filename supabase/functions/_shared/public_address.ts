import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** Addresses that ipaddr.js takes for public and that are not: the platform's own agent on Azure. */
const NOT_PUBLIC = new Set(["168.63.129.16"]);
const GLOBAL_UNICAST = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];

/**
 * Whether an address is one of the public internet: not of this host, its network or a cloud's metadata, and none that
 * carries an IPv4 address inside (mapped, NAT64, 6to4, Teredo), behind which anything may be.
 */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== "unicast") return false;
  if (parsed instanceof ipaddr.IPv4) return !NOT_PUBLIC.has(parsed.toString());
  return !parsed.zoneId && parsed.match(GLOBAL_UNICAST);
}
