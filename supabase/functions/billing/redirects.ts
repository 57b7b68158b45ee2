import { ApiError } from "../_shared/http.ts";
import { notConfigured } from "../_shared/stripe.ts";

/**
 * Where Stripe sends a customer back to: the URL that was asked for, if it has the origin of an allowed one and a path at or
 * below that one's; the first allowed one if none was asked for. 400 `redirect_not_allowed` for all else.
 */
export function redirectUrl(allowed: string[], wanted: string | undefined): URL {
  const [home] = allowed;
  if (home === undefined) throw notConfigured("BILLING_REDIRECT_URLS");
  if (wanted === undefined) return new URL(home);
  const url = URL.parse(wanted);
  if (url && allowed.some((base) => isWithin(url, new URL(base)))) return url;
  throw new ApiError(400, "redirect_not_allowed", `${wanted} is not below any of BILLING_REDIRECT_URLS.`);
}

function isWithin(url: URL, base: URL): boolean {
  // Of a scheme without origins, such as javascript:, the origin is "null".
  const isOfWeb = url.protocol === "https:" || url.protocol === "http:";
  const folder = base.pathname.endsWith("/") ? base.pathname : `${base.pathname}/`;
  return (
    isOfWeb &&
    url.origin === base.origin &&
    url.username === "" &&
    url.password === "" &&
    `${url.pathname}/`.startsWith(folder)
  );
}
