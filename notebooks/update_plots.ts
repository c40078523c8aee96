/** Pictures of what adapters did to matrices. */
import { COLOURS, endLabels, picture, Plot } from "./plot.ts";
import type { Shown } from "./shown.ts";
import type { Share } from "./spectra.ts";

/** The singular values of one update. */
export interface Spectrum {
  readonly method: string;
  readonly layer: number;
  readonly values: readonly number[];
}

/** Singular values on a logarithmic scale, a panel a method and a line a layer. What is below a thousandth of the largest is left out. */
export function spectrumPlot(spectra: readonly Spectrum[], title: string): Shown {
  const top = Math.max(...spectra.flatMap(({ values }) => values));
  const rows = spectra.flatMap(({ method, layer, values }) =>
    values.flatMap((value, i) =>
      value > 1e-3 * top ? [{ method, layer, series: `${method} ${layer}`, index: i + 1, value }] : []
    )
  );
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  const line = { x: "index", y: "value", fx: "method", z: "series" } as const;
  const key = layers.map((layer, i) => ({
    method: spectra[0]!.method,
    text: `layer ${layer}`,
    layer,
    dy: 10 + 14 * i,
  }));
  return picture(title, {
    width: 860,
    marginLeft: 70,
    marginRight: 16,
    marginBottom: 40,
    fx: { domain: [...new Set(spectra.map(({ method }) => method))], label: null },
    x: {
      label: "number of the singular value",
      labelAnchor: "center",
      type: "log",
      ticks: [1, 3, 10, 30, 100],
      tickFormat: "d",
    },
    y: { label: title, labelAnchor: "center", type: "log", grid: true, ticks: 4, tickFormat: "~g" },
    color: { domain: layers, range: COLOURS.slice(0, layers.length) },
    marks: [
      Plot.frame({ stroke: "#ddd" }),
      Plot.line(rows, { ...line, stroke: "layer", strokeWidth: 1.8 }),
      ...key.map(({ dy, ...row }) =>
        Plot.text([row], {
          fx: "method",
          text: "text",
          fill: "layer",
          frameAnchor: "bottom-left",
          dx: 8,
          dy: dy - 78,
        })
      ),
    ],
  });
}

/** Magnitude and direction of one layer's matrix after some steps. */
export interface Moved {
  readonly method: string;
  readonly layer: number;
  readonly step: number;
  readonly magnitude: number;
  readonly direction: number;
}

/** ΔM over ΔD, one panel per method, one line per layer through the steps at which it was looked at. */
export function movedPlot(moved: readonly Moved[]): Shown {
  const methods = [...new Set(moved.map(({ method }) => method))];
  const rows = moved.map((m) => ({ ...m, series: `${m.method} ${m.layer}` }));
  const layers = [...new Set(rows.map(({ layer }) => layer))];
  const place = { x: "direction", y: "magnitude", fx: "method", stroke: "layer" } as const;
  return picture("Change of magnitude against change of direction, by method and layer", {
    width: 860,
    height: 320,
    marginLeft: 70,
    marginRight: 24,
    marginBottom: 40,
    grid: true,
    fx: { domain: methods, label: null },
    x: { label: "ΔD: 1 − cosine, mean over rows", labelAnchor: "center", ticks: 3, tickFormat: "~g" },
    y: { label: "ΔM: change of a row's norm, mean", labelAnchor: "center", tickFormat: "~g" },
    color: { domain: layers, range: COLOURS.slice(0, layers.length) },
    marks: [
      Plot.frame({ stroke: "#ddd" }),
      Plot.line(rows, { ...place, z: "series", strokeWidth: 1.2 }),
      Plot.dot(rows, { ...place, r: 2.5 }),
      endLabels(rows, {
        ...{ x: "direction", y: "magnitude", fx: "method", fill: "layer", z: "series" },
        text: ({ layer }: { layer: number }) => String(layer),
      }),
    ],
  });
}

/** How much of an update a form of so many numbers could hold, on a logarithmic scale of numbers. */
export function sharesPlot(
  forms: readonly { readonly name: string; readonly shares: readonly Share[] }[],
  all: number,
): Shown {
  const rows = forms.flatMap(({ name, shares }) =>
    shares.filter(({ numbers }) => numbers <= all).map((share) => ({ name, ...share }))
  );
  const names = forms.map(({ name }) => name);
  const line = { x: "numbers", y: "share", z: "name" } as const;
  return picture(`Share of the update that ${names.join(" and ")} could hold, by numbers`, {
    marginRight: 150,
    grid: true,
    x: { label: "numbers in the form", type: "log", tickFormat: "~s" },
    y: { label: "share of ‖ΔW‖²", domain: [0, 1], tickFormat: "%" },
    color: { domain: names, range: COLOURS.slice(0, names.length) },
    marks: [
      Plot.line(rows, { ...line, stroke: "name", strokeWidth: 2 }),
      Plot.dot(rows, { ...line, stroke: "name", r: 2 }),
      endLabels(rows, { ...line, fill: "name" }),
    ],
  });
}
