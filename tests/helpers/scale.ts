/** The count of a test: the small one in `npm test`, the large one in `npm run test:full`. */
export function scaled(small: number, full: number): number {
  return process.env.METERBASE_TEST_SCALE === "full" ? full : small;
}
