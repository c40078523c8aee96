/** What a cell shows: the same content in several media types, from which a front end takes the richest it knows. */

/** Contents by media type: "text/html", "image/svg+xml", "text/plain". */
export type Media = Readonly<Record<string, string>>;

/** A value that displays itself when a cell ends with it. */
export interface Shown {
  readonly media: Media;
}

/** The kernel asks a value for its media under this name. */
const DISPLAY = Symbol.for("Jupyter.display");

/** A value that displays as these media. */
export function shown(media: Media): Shown {
  return Object.defineProperty({ media }, DISPLAY, { value: () => media });
}

/** Views under each other, as one. Pictures go into the HTML. */
export function stacked(...views: readonly Shown[]): Shown {
  return shown({
    "text/html": views.map(({ media }) => media["text/html"] ?? media["image/svg+xml"] ?? "").join("\n"),
    "text/plain": views.map(({ media }) => media["text/plain"] ?? "").join("\n\n"),
  });
}

/** Text as it stands in HTML. */
export function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (c) => names[c]!);
}
