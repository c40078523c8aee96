/** A row as it is trained: special tokens as they are spelt, and what is trained in colour, or underlined without colour. */
import { environmentVariable } from "../../platform/environment.ts";
import { isTerminal } from "../../platform/streams.ts";
import { IGNORED, type Tokens } from "../../train/mod.ts";

/** How the trained part is marked. */
export type Marking = "colour" | "underline";

/** Colour on a terminal that takes it, underlines elsewhere. */
export function markingOf(stream: 1 | 2): Marking {
  const refused = environmentVariable("NO_COLOR") !== undefined || environmentVariable("TERM") === "dumb";
  return isTerminal(stream) && !refused ? "colour" : "underline";
}

/** Text that is trained. */
const GREEN = "\x1b[32m";
const PLAIN = "\x1b[39m";
/** Put after a character it underlines it. */
const LOW_LINE = "\u0332";

/**
 * The text of a row. Neighbouring tokens are decoded together, since one alone may be part of a character. Control
 * characters other than line ends are written as `\x1b`.
 */
export function trainedText(
  { inputIds, labels }: Tokens,
  decode: (ids: readonly number[]) => string,
  marking: Marking,
): string {
  const runs: { readonly trained: boolean; readonly ids: number[] }[] = [];
  inputIds.forEach((id, i) => {
    const trained = i > 0 && labels[i] !== IGNORED;
    const last = runs.at(-1);
    if (last?.trained === trained) last.ids.push(id);
    else runs.push({ trained, ids: [id] });
  });
  return runs.map(({ trained, ids }) => {
    const text = visible(decode(ids));
    return !trained ? text : marking === "colour" ? coloured(text) : underlined(text);
  }).join("");
}

/** Line by line, so that a terminal's line ends stay plain. */
function coloured(text: string): string {
  return text.split("\n").map((line) => line === "" ? "" : `${GREEN}${line}${PLAIN}`).join("\n");
}

/** Every character underlined; a line end, which cannot be, is shown. */
function underlined(text: string): string {
  return [...new Intl.Segmenter("en").segment(text)]
    .map(({ segment }) => segment === "\n" ? `↵${LOW_LINE}\n` : `${segment}${LOW_LINE}`).join("");
}

function visible(text: string): string {
  return text.replace(
    /\p{Cc}/gu, // what a terminal would obey
    (mark) =>
      mark === "\t" || mark === "\n" ? mark : `\\x${mark.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
