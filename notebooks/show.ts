/** `show`: trees, adapters, models and tensors that display themselves, with paths, shapes, dtypes and counts. */
import { type Adapter, count, leaves, type Model, Tensor, type Tree, weightLeaves } from "../core/mod.ts";
import { showBytes, showCount } from "../cli/terminal/output.ts";
import { escaped, type Shown, shown, stacked } from "./shown.ts";
import { sortable } from "./table.ts";

/** A leaf as it is listed. */
interface Leaf {
  readonly path: string;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly size: number;
  readonly bytes: number;
}

/** A tree of tensors, an adapter (with the model's size beside it, where the model is given), a model or a tensor. */
export function show(value: Tensor | Tree | Adapter | Model, on?: Model): Shown {
  if (value instanceof Tensor) return shown({ "text/plain": String(value) });
  if (isAdapter(value)) return adapterView(value, on);
  if (isModel(value)) {
    const leaves = weightLeaves(value.weights).map(([path, leaf]) => leafOf(path, leaf));
    return stacked(heading(`${value.architecture.name}: ${summary(leaves)}`), listing(leaves));
  }
  const all = leaves(value).map(([path, leaf]) => leafOf(path, leaf));
  return stacked(heading(summary(all)), listing(all));
}

function adapterView(adapter: Adapter, on: Model | undefined): Shown {
  const all = leaves(adapter.params).map(([path, leaf]) => leafOf(path, leaf));
  const counts = on && count(on, adapter);
  const share = counts === undefined
    ? ""
    : `, ${showCount(counts.trainable)} of them train: ${
      (100 * counts.trainable / counts.base).toPrecision(3)
    } % of the model's ${showCount(counts.base)}`;
  return stacked(heading(`${adapter.method.name}: ${summary(all)}${share}`), listing(all));
}

/** Leaves whose paths differ in their numbers alone stand in one line: `layers.{0…4}.q_proj.a`. */
function listing(leaves: readonly Leaf[]): Shown {
  const groups = new Map<string, Leaf[]>();
  for (const leaf of leaves) {
    const name = `${leaf.path.replace(/\d+/g, "#")} ${leaf.shape.join("×")} ${leaf.dtype}`;
    groups.set(name, [...groups.get(name) ?? [], leaf]);
  }
  return sortable([...groups.values()], [
    { title: "path", text: (group) => rangeOf(group) },
    { title: "shape", text: ([leaf]) => `[${leaf!.shape.join(", ")}]` },
    { title: "dtype", text: ([leaf]) => leaf!.dtype },
    { title: "tensors", text: (group) => String(group.length), value: (group) => group.length },
    { title: "numbers", text: (group) => showCount(total(group)), value: total },
  ]);
}

function rangeOf(group: readonly Leaf[]): string {
  if (group.length === 1) return group[0]!.path;
  const numbers = group.map(({ path }) => path.match(/\d+/g) ?? []);
  let i = 0;
  return group[0]!.path.replace(/\d+/g, () => {
    const here = [...new Set(numbers.map((ns) => ns[i]!))];
    i++;
    return here.length === 1 ? here[0]! : `{${here[0]}…${here.at(-1)}}`;
  });
}

const total = (group: readonly Leaf[]): number => group.reduce((n, { size }) => n + size, 0);

const summary = (leaves: readonly Leaf[]): string =>
  `${leaves.length} tensors, ${showCount(total(leaves))} numbers, ${
    showBytes(leaves.reduce((n, { bytes }) => n + bytes, 0))
  }`;

const heading = (text: string): Shown =>
  shown({ "text/html": `<p><b>${escaped(text)}</b></p>`, "text/plain": text });

const leafOf = (
  path: string,
  { shape, dtype, size, bytes = NaN }: Omit<Leaf, "path" | "bytes"> & { readonly bytes?: number },
): Leaf => ({ path, shape, dtype, size, bytes });

const isAdapter = (value: object): value is Adapter => "method" in value && "params" in value;
const isModel = (value: object): value is Model => "architecture" in value && "weights" in value;
