/** How far work has come that takes long and has parts. */

/** An option of such work. */
export interface Advancing {
  /** Called after each part with how many are done, of how many. */
  readonly advanced?: (done: number, total: number) => void;
}
