/**
 * The points of a sweep: every combination of the listed values, or randomly drawn ones (Bergstra & Bengio
 * 2012, JMLR 13). The i-th draw is a function of the seed and i, so a sweep with more draws includes those of
 * a smaller one.
 */
import { bitsAt, fold, type Key, key } from "../../core/mod.ts";
import { UsageError } from "../../tuning/usage_error.ts";

/** The values of one option: a list, or a range to draw from log-uniformly. */
export type Axis =
  & { readonly name: string }
  & ({ readonly values: readonly string[] } | {
    readonly from: number;
    readonly to: number;
    /** Integers only. */
    readonly whole: boolean;
  });

/** Options by their names on the command line, as strings. */
export type Point = Readonly<Record<string, string>>;

/**
 * Reads "name=a,b,c" or "name=from..to". Values that contain commas are separated by "|".
 *
 * @throws {UsageError} on any other string.
 */
export function axisOf(text: string): Axis {
  const cut = text.indexOf("=");
  const name = text.slice(0, Math.max(0, cut)).replace(/^--/, "").trim();
  const rest = text.slice(cut + 1);
  const values = rest.split(rest.includes("|") ? "|" : ",").map((value) => value.trim());
  if (cut < 0 || name === "" || values.includes("")) {
    throw new UsageError(
      `Expected --grid <option>=<value>,<value>,… or <option>=<from>..<to> but found "${text}"`,
    );
  }
  const range = values.length === 1 ? /^([^.].*?)\.\.(.+)$/.exec(values[0]!) : null;
  if (range === null) {
    const twice = values.find((value, i) => values.indexOf(value) < i);
    if (twice !== undefined) throw new UsageError(`--grid ${name} lists "${twice}" twice`);
    return { name, values };
  }
  const [from, to] = [Number(range[1]), Number(range[2])];
  if (!(from > 0 && to > from && Number.isFinite(to))) {
    throw new UsageError(
      `Expected a range from a number above 0 to a larger one but found --grid ${name}=${rest}`,
    );
  }
  return { name, from, to, whole: Number.isInteger(from) && Number.isInteger(to) };
}

/** All axes, each named once. @throws {UsageError} otherwise. */
export function axesOf(texts: readonly string[]): readonly Axis[] {
  const axes = texts.map(axisOf);
  const names = axes.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new UsageError(`Expected one --grid for ${twice} but found two`);
  return axes;
}

/** Every combination, the last axis fastest. @throws {UsageError} when an axis is a range. */
export function gridPoints(axes: readonly Axis[]): readonly Point[] {
  return axes.reduce<readonly Point[]>((points, axis) => {
    if (!("values" in axis)) {
      throw new UsageError(`--grid ${axis.name} is a range: say how many points to draw with --random`);
    }
    return points.flatMap((point) => axis.values.map((value) => ({ ...point, [axis.name]: value })));
  }, [{}]);
}

/** `count` distinct drawn points, or all if there are fewer. */
export function randomPoints(axes: readonly Axis[], count: number, seed: number): readonly Point[] {
  const all = axes.reduce((n, axis) => n * ("values" in axis ? axis.values.length : Infinity), 1);
  const found = new Map<string, Point>();
  // Integers from a narrow range repeat, so the number of attempts is limited.
  for (let i = 0; found.size < Math.min(count, all) && i < 100 * count; i++) {
    const at = fold(fold(key(seed), "sweep"), i);
    const point = Object.fromEntries(axes.map((axis) => [axis.name, drawn(axis, fold(at, axis.name))]));
    const name = JSON.stringify(point);
    if (!found.has(name)) found.set(name, point);
  }
  return [...found.values()];
}

function drawn(axis: Axis, at: Key): string {
  const uniform = bitsAt(at, 0) / 2 ** 32;
  if ("values" in axis) return axis.values[Math.floor(uniform * axis.values.length)]!;
  const { from, to, whole } = axis;
  const end = whole ? to + 1 : to;
  const value = from * (end / from) ** uniform;
  return whole ? String(Math.min(to, Math.floor(value))) : String(Number(value.toPrecision(3)));
}
