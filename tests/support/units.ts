/** Numbers of f64 as whole numbers in their order. */

const ordered = (x: number): bigint => {
  const bits = new BigInt64Array(Float64Array.of(x).buffer)[0]!;
  return bits < 0n ? -(bits & 0x7fffffffffffffffn) : bits;
};

/** How many units in the last place lie between two numbers; none between NaN and NaN. */
export const apart = (a: number, b: number): number =>
  Number.isNaN(a) || Number.isNaN(b)
    ? Number.isNaN(a) && Number.isNaN(b) ? 0 : Infinity
    : Number(ordered(a) > ordered(b) ? ordered(a) - ordered(b) : ordered(b) - ordered(a));

/** Python's `float.hex`: "-0x1.8p+1" is −3. */
export function fromHex(text: string): number {
  const [, sign, whole, fraction = "", exponent] = /^(-?)0x([01])(?:\.([0-9a-f]*))?p([+-]\d+)$/.exec(text) ??
    [];
  if (whole === undefined) throw new SyntaxError(`No hexadecimal float: ${text}`);
  const digits = Number(BigInt(`0x${whole}${fraction}`)); // 53 bits at most
  const shift = Number(exponent) - 4 * fraction.length;
  const value = shift < -1000 ? digits * 2 ** -500 * 2 ** (shift + 500) : digits * 2 ** shift;
  return sign === "-" ? -value : value;
}
