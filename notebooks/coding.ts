/** What four bits do to single weights: the errors of a model's linear layers as a histogram. */
import { castTo, dispose, type DType, lookup, read, scope, type Synchronous, Tensor } from "../core/mod.ts";
import { subtract } from "../ops/mod.ts";
import { COLOURS, picture, Plot } from "./plot.ts";
import type { Shown } from "./shown.ts";
import type { Workshop } from "./workshop.ts";

/** Errors of a type, in units of the root mean square of the weight that they belong to. */
export interface Errors {
  readonly dtype: string;
  /** (ŵ − w) / rms(w) of every weight of the linear layers. */
  readonly errors: Float32Array;
  /** The same of w itself, so that weights and errors can be seen side by side. */
  readonly rms: number;
}

/** Codes every linear layer's matrix in a type, decodes it and subtracts. */
export async function codingHistogram(shop: Workshop, dtype: DType): Promise<Errors> {
  const { spec, weights } = shop.model;
  const parts: Float32Array[] = [];
  for (const { path } of spec.linears) {
    const leaf = lookup(weights, `${path}.weight`);
    if (!(leaf instanceof Tensor)) continue;
    const { w, error } = scope((): Synchronous<{ w: Tensor; error: Tensor }> => {
      const w = castTo(leaf, "f32");
      return { w, error: subtract(castTo(castTo(w, dtype), "f32"), w) };
    });
    const [own, off] = [await read(w), await read(error)];
    const scale = Math.sqrt(own.reduce((sum, v) => sum + v * v, 0) / own.length);
    parts.push(off.map((e) => e / scale));
    dispose([w, error]);
  }
  const errors = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    errors.set(part, at);
    at += part.length;
  }
  return { dtype, errors, rms: Math.sqrt(errors.reduce((sum, e) => sum + e * e, 0) / errors.length) };
}

/** Densities of the errors, a panel a type under each other. */
export function errorPlot(types: readonly Errors[], most = 0.6, bins = 120): Shown {
  const width = 2 * most / bins;
  const rows = types.flatMap(({ dtype, errors }) => {
    const counts = new Float64Array(bins);
    for (const e of errors) {
      const bin = Math.floor((e + most) / width);
      if (bin >= 0 && bin < bins) counts[bin]!++;
    }
    return [...counts].map((n, i) => ({
      dtype,
      from: -most + i * width,
      to: -most + (i + 1) * width,
      density: n / errors.length / width,
    }));
  });
  const names = types.map(({ dtype }) => dtype);
  const captions = types.map(({ dtype, rms }) => ({
    dtype,
    text: `${dtype}: rms ${(100 * rms).toFixed(1)} % of the weights'`,
  }));
  return picture(`Errors of ${names.join(", ")} as densities`, {
    height: 110 * types.length + 50,
    marginRight: 20,
    fy: { domain: names, axis: null },
    x: { label: "error of a weight ÷ rms of its matrix", domain: [-most, most] },
    y: { label: "density", ticks: 3, grid: true },
    color: { domain: names, range: COLOURS.slice(0, names.length) },
    marks: [
      Plot.rectY(rows, {
        x1: "from",
        x2: "to",
        y: "density",
        fy: "dtype",
        fill: "dtype",
        insetLeft: 0,
        insetRight: 0,
      }),
      Plot.text(captions, {
        fy: "dtype",
        text: "text",
        frameAnchor: "top-left",
        dx: 8,
        dy: 4,
        fontWeight: "bold",
      }),
      Plot.ruleY([0]),
    ],
  });
}
