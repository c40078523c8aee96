/**
 * How many examples a law draws: few in a run of all tests, and as many as GRAFT_EXAMPLES says where it is set, as
 * `deno task test:laws` sets it.
 */
const WANTED = Deno.env.get("GRAFT_EXAMPLES");
if (WANTED !== undefined && !/^[1-9]\d*$/.test(WANTED)) {
  throw new RangeError(`Expected GRAFT_EXAMPLES to be a positive integer but found "${WANTED}"`);
}

/** The number of examples of a law that usually draws so many. */
export const examples = (usually: number): number => WANTED === undefined ? usually : Number(WANTED);
