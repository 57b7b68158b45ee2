import crc32 from "crc-32";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const FORM = /^(sk_(?:live|test)_[0-9A-Za-z]{30})([0-9A-Za-z]{6})$/;
const encoder = new TextEncoder();

/** Whether a secret could be an API key's: its last six characters are the CRC-32 of the rest, in base62. */
export function isWellFormed(secret: string): boolean {
  const [, body, checksum] = FORM.exec(secret) ?? [];
  if (body === undefined) return false;
  let rest = crc32.buf(encoder.encode(body)) >>> 0;
  let expected = "";
  for (let i = 0; i < 6; i++) {
    expected = DIGITS.charAt(rest % 62) + expected;
    rest = Math.floor(rest / 62);
  }
  return checksum === expected;
}

/** The SHA-256 of a secret in hexadecimal: what the database knows it by. */
export async function hashSecret(secret: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(secret)));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
