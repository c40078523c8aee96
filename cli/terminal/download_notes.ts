/** What a download says of itself: a line a tenth of each large file. */
import type { DownloadProgress } from "../../io/hub/download.ts";
import { note, showBytes } from "./output.ts";

/** Smaller files come unannounced. */
const LARGE = 1_000_000;

/** Hears of a download's progress, and says what is new. Files that are there already say nothing. */
export function downloadNotes(say: (line: string) => void = note): (progress: DownloadProgress) => void {
  let at: { readonly file: string; readonly tenth: number } | undefined;
  return ({ file, received, size, index, count }) => {
    const tenth = Math.floor(10 * received / size);
    const begun = at?.file === file;
    if (size < LARGE || (begun ? tenth === at!.tenth : received === size)) return;
    at = { file, tenth };
    say(`Downloading ${file} (file ${index + 1} of ${count}): ${10 * tenth} % of ${showBytes(size)}`);
  };
}
