/** Progress messages of a download: a line per tenth of each large file. */
import type { DownloadProgress } from "../../io/hub/download.ts";
import { note, showBytes } from "./output.ts";

/** Smaller files are not reported. */
const LARGE = 1_000_000;

/** A callback for a download's progress that reports news. Existing files are not reported. */
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
