/** What training did to a layer's matrix, as numbers: singular values, magnitude and direction, and the best small forms. */
import {
  type Adapter,
  dispose,
  matrixAt,
  read,
  sizesOf,
  type Tensor,
  tensor,
  weightUpdates,
} from "../core/mod.ts";

import { kronaShapes } from "../methods/structured/krona.ts";
import { factorised, svd } from "../ops/mod.ts";
import type { Workshop } from "./workshop.ts";

/** A matrix on the host, rows after each other. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

/** An adapter's update of one layer. */
export interface Update {
  readonly path: string;
  readonly layer: number;
  /** "q_proj". */
  readonly module: string;
  readonly base: Matrix;
  readonly delta: Matrix;
}

/** The updates of an adapter, on the host. */
export async function updatesOf(shop: Workshop, adapter: Adapter): Promise<readonly Update[]> {
  const updates: Update[] = [];
  for (const update of weightUpdates(shop.model, adapter)) {
    const { path, layer } = update.place;
    const [base, delta] = [await onHost(matrixAt(shop.model, update.place)), await onHost(update.matrix())];
    updates.push({ path, layer: layer ?? -1, module: path.split(".").at(-1)!, base, delta });
  }
  return updates;
}

/** Takes a tensor's numbers and frees it; a weight of the model stays. */
async function onHost(t: Tensor): Promise<Matrix> {
  const values = await read(t);
  dispose(t);
  return { rows: t.shape[0]!, columns: t.shape[1]!, values };
}

/** Singular values, falling. */
export async function singularValues(shop: Workshop, m: Matrix): Promise<readonly number[]> {
  const x = tensor(m.values, { backend: shop.backend, shape: [m.rows, m.columns] });
  const { u, s, vt } = await factorised(x, svd);
  const values = [...await read(s)];
  dispose([x, u, s, vt]);
  return values;
}

/**
 * How magnitude and direction moved, averaged over the rows of a matrix (arXiv 2402.09353, equations 3 and 4; their columns are
 * our rows):
 *
 *   ΔM = mean |‖w'ᵢ‖ − ‖wᵢ‖|        ΔD = mean (1 − cos(w'ᵢ, wᵢ))
 */
export function magnitudeAndDirection(
  { base, delta }: Pick<Update, "base" | "delta">,
): { readonly magnitude: number; readonly direction: number } {
  let [magnitude, direction] = [0, 0];
  for (let i = 0; i < base.rows; i++) {
    let [old, now, both] = [0, 0, 0];
    for (let j = i * base.columns; j < (i + 1) * base.columns; j++) {
      const w = base.values[j]!;
      const v = w + delta.values[j]!;
      old += w * w;
      now += v * v;
      both += w * v;
    }
    const [a, b] = [Math.sqrt(old), Math.sqrt(now)];
    magnitude += Math.abs(b - a) / base.rows;
    direction += Math.max(0, 1 - both / (a * b)) / base.rows; // rounding may pass 1
  }
  return { magnitude, direction };
}

/** The share of a matrix's energy ‖·‖² that the best product of a form holds, and how many numbers the form has. */
export interface Share {
  readonly numbers: number;
  readonly share: number;
}

/** The best sums of r outer products: Eckart and Young. `r` up to the rank. */
export function lowRankShares({ rows, columns }: Matrix, singular: readonly number[]): readonly Share[] {
  return cumulative(singular).map((share, i) => ({ numbers: (i + 1) * (rows + columns), share }));
}

/**
 * The best sums of r Kronecker products of KronA's shapes: the singular values of the matrix with its blocks laid out as rows
 * (Van Loan and Pitsianis 1993).
 */
export async function kroneckerShares(shop: Workshop, { delta, path }: Update): Promise<readonly Share[]> {
  const place = shop.model.spec.linears.find((place) => place.path === path)!;
  const { a: [o1, i1], b: [o2, i2] } = kronaShapes(place, {});
  const { outFeatures, inFeatures } = sizesOf(place);
  const values = new Float32Array(outFeatures * inFeatures);
  for (let o = 0; o < outFeatures; o++) {
    for (let i = 0; i < inFeatures; i++) {
      const row = Math.floor(o / o2) * i1 + Math.floor(i / i2);
      const column = (o % o2) * i2 + i % i2;
      values[row * o2 * i2 + column] = delta.values[o * inFeatures + i]!;
    }
  }
  const singular = await singularValues(shop, { rows: o1 * i1, columns: o2 * i2, values });
  return cumulative(singular).map((share, r) => ({ numbers: (r + 1) * (o1 * i1 + o2 * i2), share }));
}

function cumulative(singular: readonly number[]): readonly number[] {
  const total = singular.reduce((sum, s) => sum + s * s, 0);
  let sum = 0;
  return singular.map((s) => (sum += s * s) / total);
}
