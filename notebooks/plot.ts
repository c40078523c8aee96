/** Plots as SVG without a browser: Observable Plot on a document that lives in memory. */
import { type Markish, plot, type PlotOptions, text, type TextOptions } from "npm:@observablehq/plot@^0.6";
import { parseHTML } from "npm:linkedom@^0.18";
import { type Shown, shown } from "./shown.ts";

export * as Plot from "npm:@observablehq/plot@^0.6";
export type { Markish };

/** Colours that stay apart for colour-blind eyes (Okabe and Ito), in the order of use. */
export const COLOURS: readonly string[] = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#555555",
  "#000000",
];

/**
 * A plot as a picture. Series are named where they end (`endLabels`) rather than in a legend, so that it is one SVG, which
 * every front end shows.
 *
 * @param alt What it shows, for those who cannot see it, and for plain text.
 */
export function picture(alt: string, options: PlotOptions): Shown {
  // linkedom says that it gives the checker's own window, which under Deno has no document.
  const { document } = parseHTML("<!doctype html><html><body></body></html>") as unknown as {
    readonly document: NonNullable<PlotOptions["document"]>;
  };
  const figure = plot({
    document,
    width: 720,
    height: 340,
    marginLeft: 56,
    ariaLabel: alt,
    style: { background: "white", color: "#222", fontSize: "12px", overflow: "visible" },
    ...options,
  });
  figure.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  figure.setAttribute("role", "img");
  return shown({ "image/svg+xml": figure.outerHTML, "text/plain": alt });
}

/** A name at the last point of each series. Give `x`, `y`, `z` and `fill` as to the line, and a margin on the right. */
export function endLabels<T>(data: readonly T[], options: TextOptions & { readonly z: string }): Markish {
  const last = new Map<unknown, T>();
  for (const row of data) last.set((row as Readonly<Record<string, unknown>>)[options.z], row);
  return text([...last.values()], { text: options.z, textAnchor: "start", dx: 6, ...options });
}
