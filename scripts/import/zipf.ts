/**
 * Assigns numbers to `count` places so that place k gets a share proportional to 1 / (k + 1)^exponent (Zipf's law):
 * a few large tenants and many small ones. The same number always gets the same place.
 */
export function zipf(count: number, exponent = 1.1): (number: number) => number {
  const cumulative: number[] = [];
  let total = 0;
  for (let k = 0; k < count; k++) {
    total += 1 / (k + 1) ** exponent;
    cumulative.push(total);
  }
  return (number) => {
    const target = (mix(number) / 2 ** 32) * total;
    const place = cumulative.findIndex((sum) => target < sum);
    return place === -1 ? count - 1 : place;
  };
}

/** Spreads neighbouring integers over 32 bits: the finalizer of MurmurHash3. */
export function mix(number: number): number {
  let h = number | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
