/** How far the work of a command is, part by part. */
import { counter, NOTHING } from "./counter.ts";

/** Does work that calls `advanced`, and shows how far it is; with `quiet` it does not. */
export async function shownAdvance<T>(
  { quiet }: { readonly quiet?: true },
  what: string,
  units: string,
  work: (advanced: (done: number, total: number) => void) => Promise<T>,
  counting: typeof counter = counter,
): Promise<T> {
  let shown = NOTHING;
  try {
    return await work((done, total) => {
      // The first part tells how many there are.
      if (shown === NOTHING && quiet !== true) shown = counting(what, total, units);
      shown.at(done);
    });
  } finally {
    shown.stop();
  }
}
