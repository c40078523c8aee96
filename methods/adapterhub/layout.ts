/**
 * The content of an AdapterHub folder for an adapter of a model: which parameter is computed from which
 * tensors, and vice versa. Keys are given without the prefix of the model's class ("bert.", "transformer.",
 * "model.").
 */
import {
  compose,
  type Method,
  type Model,
  type Shape,
  type SublayerPlace,
  type Tensor,
} from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { concat, reshape, slice } from "../../ops/mod.ts";

/** A tensor of the file. */
export interface StoredKey {
  readonly key: string;
  readonly shape: Shape;
  /** Alternative names under which the library may have written it. */
  readonly also?: readonly string[];
}

/** How a parameter is read. */
export interface Reading {
  /** "" where the tensors are only checked. */
  readonly path: string;
  readonly shape: Shape;
  readonly from: readonly StoredKey[];
  /** f32 tensors in the order of `from`; runs in a scope. */
  read(stored: readonly Tensor[]): Tensor;
}

/** How a tensor of the file is written. */
export interface Writing extends StoredKey {
  readonly from: readonly string[];
  /** Parameters in the order of `from`; runs in a scope. */
  write(params: readonly Tensor[]): Tensor;
  /** What the tensor is, where it holds other numbers than its parameters: gradients have no such thing. */
  readonly made?: string;
  /** Checks the parameters before anything is written. @throws {RangeError} when the tensor cannot represent them. */
  check?(params: readonly Tensor[]): Promise<void>;
}

/** Both directions for a method. */
export interface AdaptersLayout {
  readonly method: Method;
  readonly reads: readonly Reading[];
  readonly writes: readonly Writing[];
}

/** A kind of part of an adapter, and what the library does with parts of the kind. */
export interface PartKind {
  /** Its name for people. */
  readonly name: string;
  /** The part's name in a composition. */
  readonly part: string;
  /** The blocks of branches that the library has for it. */
  readonly blocks: readonly ("Average" | "Split")[];
  /** Gates that it can have. */
  readonly gates: readonly string[];
  /** Whether the library uses those of a setup's first adapter alone. */
  readonly ofTheFirst?: true;
  /** Whether it updates layers, one at a time. */
  readonly onLayers?: true;
  /** Whether its configuration says what states it reads and keeps, which the library does once for a block. */
  readonly wired?: true;
  /** Whether the library pads its rows to those of the longest branch. */
  readonly padded?: true;
  /** Whether its configuration says if layers are scaled. */
  readonly scales?: true;
  /** How its fields become those of another kind's configuration beside it. */
  readonly joins?: {
    readonly kind: PartKind;
    /** Fields that one configuration has once. */
    readonly shared: readonly string[];
    fields(own: AdaptersFields): AdaptersFields;
  };
}

/** A part of an adapter. */
export interface AdaptersPart extends AdaptersLayout {
  readonly kind: PartKind;
}

/** A key without the prefix of the model's class. */
export function bareKey(key: string): string {
  return key.replace(/^(bert|roberta|transformer|model)\./, "");
}

/** What is read and written, without a method. */
export type Both = Pick<AdaptersLayout, "reads" | "writes">;

/** A parameter that is one tensor of the file, possibly with another shape. */
export function same(
  path: string,
  key: string,
  shape: Shape,
  stored: Shape = shape,
  also?: readonly string[],
): Both {
  const from: StoredKey = { key, shape: stored, ...also && { also } };
  return {
    reads: [{ path, shape, from: [from], read: ([t]) => reshape(t!, shape) }],
    writes: [{ ...from, from: [path], write: ([t]) => reshape(t!, stored) }],
  };
}

/** Parameters that are concatenated along one axis of a tensor of the file, viewed in the shape `view`. */
export function joined(
  key: string,
  stored: Shape,
  view: Shape,
  axis: number,
  parts: readonly { readonly path: string; readonly shape: Shape }[],
): Both {
  const each = view[axis]! / parts.length;
  const from: StoredKey = { key, shape: stored };
  const part = view.map((n, i) => i === axis ? each : n);
  return {
    reads: parts.map(({ path, shape }, i) => ({
      path,
      shape,
      from: [from],
      read: ([t]) => reshape(slice(reshape(t!, view), axis, i * each, (i + 1) * each), shape),
    })),
    writes: [{
      ...from,
      from: parts.map(({ path }) => path),
      write: (params) => reshape(concat(params.map((t) => reshape(t, part)), axis), stored),
    }],
  };
}

/** Combines several. */
export function all(parts: readonly Both[]): Both {
  return { reads: parts.flatMap((p) => p.reads), writes: parts.flatMap((p) => p.writes) };
}

/** With paths below a prefix. */
export function prefixed(prefix: string, layout: Both): Both {
  if (prefix === "") return layout;
  const path = (inner: string): string => inner === "" ? "" : `${prefix}.${inner}`;
  return {
    reads: layout.reads.map((r) => ({ ...r, path: path(r.path) })),
    writes: layout.writes.map((w) => ({ ...w, from: w.from.map(path) })),
  };
}

/** The parts as one adapter: composed, with their kinds as names, where there are several. */
export function whole(parts: readonly AdaptersPart[]): AdaptersLayout {
  if (parts.length === 1) return parts[0]!;
  const names = partNames(parts);
  return {
    method: compose(
      Object.fromEntries(parts.map((part, i) => [names[i]!, part.method])),
    ),
    ...all(parts.map((part, i) => prefixed(names[i]!, part))),
  };
}

function partNames(parts: readonly AdaptersPart[]): readonly string[] {
  return parts.map(({ kind }, i) => {
    const before = parts.slice(0, i).filter((part) => part.kind === kind).length;
    return before === 0 ? kind.part : `${kind.part}${before + 1}`;
  });
}

/** The index of a block by the library's count: an encoder's blocks first. */
export function blockNumber(
  { spec }: Model,
  place: { readonly stack: string; readonly layer?: number },
): number {
  const encoder = spec.stacks.find(({ stack }) => stack === "encoder")?.layers ?? 0;
  return place.stack === "decoder" ? encoder + place.layer! : place.layer!;
}

/** Whether a block's norms come after its residual additions. */
export function isPostNorm({ architecture }: Model): boolean {
  return architecture.name === "bert";
}

/** The module in which the library places an adapter, at a part of a block. */
export function adapterModule({ path, role }: SublayerPlace, { architecture }: Model): string {
  if (architecture.name === "bert" || architecture.name === "t5") return bareKey(path);
  const block = bareKey(path).replace(/\.[^.]+$/, "");
  return `${block}.${role === "attention" ? "attention_adapters" : "output_adapters"}`;
}

/** The gate's tensors: weight [1, d] and bias [1]. */
export function gate(path: string, key: string, width: number): Both {
  return all([
    same(`gates.${path}.weight`, `${key}.weight`, [width, 1], [1, width]),
    same(`gates.${path}.bias`, `${key}.bias`, [1]),
  ]);
}
