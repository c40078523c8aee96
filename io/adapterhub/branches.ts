/**
 * Blocks of AdapterHub setups with adapters in parallel: Average, Split, and those with an adapter for each
 * row of a batch: BatchSplit, Parallel (the batch once per branch) and MultiTask. The library does some
 * things once for a whole block: it reads and keeps states as configured in the first adapter, uses
 * invertible adapters, prompts and ReFT of the first only, and does both again in nested blocks. Where that
 * would make a branch differ from its adapter alone, the setup is refused with the reason.
 */
import type { Model } from "../../core/mod.ts";
import type { AdaptersConfig } from "../../formats/adapters_config.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import type { AdaptersPart, PartKind } from "../../methods/adapterhub/layout.ts";
import { rangeError } from "../../errors/error.ts";

/** One adapter of a setup, as described by its folder. */
export interface Leaf {
  readonly name: string;
  readonly configs: readonly AdaptersConfig[];
  readonly parts: readonly AdaptersPart[];
}

/** A part of a setup. */
export interface Branch {
  readonly name: string;
  /** One adapter, several in series or in parallel, by rows, or a fusion. */
  readonly kind: "single" | "block" | "rows" | "fusion";
  /** The adapters in it, except those of a fusion. */
  readonly leaves: readonly Leaf[];
}

/** Blocks in which a row of the batch names its branch. */
export function isRowBlock(type: string): boolean {
  return ["BatchSplit", "Parallel", "MultiTask"].includes(type);
}

/** The kind of branch that a stack or another block makes of its children. */
export function kindOf(type: string, branches: readonly Branch[]): Branch["kind"] {
  if (isRowBlock(type) || branches.some(({ kind }) => kind === "rows")) return "rows";
  return branches.some(({ kind }) => kind === "fusion") ? "fusion" : "block";
}

/** Throws, with the block and the folder before the reason. */
type Refuse = (why: string) => never;

const refusing = (what: string): Refuse => (why) => {
  throw rangeError("FILE_INVALID", `${what}: ${why}`);
};

/** @throws {RangeError} when the library computes something else for these adapters in series. */
export function checkStack(what: string, branches: readonly Branch[], model: Model): void {
  const refuse = refusing(what);
  const seen = new Map<string, string>();
  for (const [i, { leaves }] of branches.entries()) {
    const layers = new Map<string, string>();
    for (const leaf of leaves) {
      const { name, configs, parts } = leaf;
      const alone = parts.find(({ kind }) => kind.ofTheFirst);
      if (i > 0 && alone !== undefined) {
        refuse(
          `"${name}" has a part of the kind ${alone.kind.name}, which the library leaves out unless it is the first`,
        );
      }
      if (branches.length > 1 && configs.some(({ fields }) => fields["is_parallel"] === true)) {
        refuse(`"${name}" runs beside its part, where the library forgets the others`);
      }
      if (i < branches.length - 1 && configs.some(({ fields }) => fields["original_ln_after"] === false)) {
        refuse(`"${name}" has original_ln_after false, which the library follows for the last alone`);
      }
      for (const { path } of pathsOf(leaf, (kind) => kind.onLayers === true, model)) layers.set(path, name);
    }
    for (const [path, name] of layers) {
      if (seen.has(path)) {
        refuse(
          `"${
            seen.get(path)
          }" and "${name}" both update "${path}", where the library feeds one update to the other`,
        );
      }
      seen.set(path, name);
    }
  }
}

/**
 * @throws {RangeError} when the library computes something else, or nothing, for these adapters in parallel.
 */
export function checkBranches(what: string, type: string, branches: readonly Branch[], model: Model): void {
  const refuse = refusing(what);
  const leaves = branches.flatMap((branch) => branch.leaves);
  for (const { name, kind } of branches) {
    if (kind === "rows") refuse(`"${name}" is itself by rows: name its parts in one block`);
    if (kind === "fusion") refuse(`a Fuse inside it, "${name}", is not supported`);
  }
  for (const { name, configs, parts } of leaves) {
    const alone = parts.find(({ kind }) => kind.ofTheFirst);
    if (alone !== undefined) {
      refuse(
        `"${name}" has a part of the kind ${alone.kind.name}, which the library takes from the first adapter for all; stack that one ` +
          "in front of the block",
      );
    }
    if (configs.some(({ fields }) => fields["use_dora"] === true)) {
      refuse(`"${name}" is DoRA, for which the library takes the last adapter's magnitudes for all`);
    }
    const odd = parts.find(({ kind }) =>
      (type === "Average" || type === "Split") && !kind.blocks.includes(type)
    );
    if (odd !== undefined) {
      refuse(`"${name}" has a part of the kind ${odd.kind.name}, for which the library has no ${type}`);
    }
  }
  const first = wired(leaves)[0];
  checkWirings(type, branches, refuse);
  if (!isRowBlock(type)) return checkPlaces(branches, (kind) => kind.blocks.length > 0, model, refuse);
  if (first !== undefined && !isPlain(first.fields)) {
    checkPlaces(
      branches,
      (kind) => kind.wired === true,
      model,
      refuse,
    );
  }
  checkPlaces(branches, (kind) => kind.padded === true, model, refuse);
  checkLengths(branches, refuse);
}

/** The configurations that say what states an adapter reads and keeps. */
const wired = (
  leaves: readonly Leaf[],
): readonly { readonly name: string; readonly fields: AdaptersFields }[] =>
  leaves.flatMap(({ name, configs }) =>
    configs.filter(({ fields }) => Object.hasOwn(fields, "is_parallel")).map(({ fields }) => ({
      name,
      fields,
    }))
  );

/** How a bottleneck adapter's configuration reads and keeps states: the library does it once for a block. */
const WIRING = ["is_parallel", "original_ln_before", "residual_before_ln", "original_ln_after"] as const;

/** Whether nothing is added or normed before the adapter, so that doing it again changes nothing. */
const isPlain = (fields: AdaptersFields): boolean =>
  fields["is_parallel"] === true ||
  (fields["original_ln_before"] === false && fields["residual_before_ln"] === true);

function checkWirings(type: string, branches: readonly Branch[], refuse: Refuse): void {
  const each = wired(branches.flatMap(({ leaves }) => leaves));
  const [first] = each;
  if (first === undefined) return;
  for (const { name, fields } of each) {
    const field = WIRING.find((field) => fields[field] !== first.fields[field]);
    if (field !== undefined) {
      refuse(
        `"${first.name}" and "${name}" differ in ${field}, which the library takes from the first for all`,
      );
    }
  }
  const multiTask = type === "MultiTask";
  if ((multiTask || branches.some(({ kind }) => kind === "block")) && !isPlain(first.fields)) {
    refuse(
      `"${first.name}" has original_ln_before, and ${
        multiTask ? "here" : "in a block inside it"
      } the library adds the residual and norms twice`,
    );
  }
  if (first.fields["original_ln_after"] === false && !isRowBlock(type)) {
    refuse(`"${first.name}" has original_ln_after false`);
  }
}

/** Checks that branches change the same places in the same way. */
function checkPlaces(
  branches: readonly Branch[],
  are: (kind: PartKind) => boolean,
  model: Model,
  refuse: Refuse,
): void {
  const [first, ...rest] = branches.map(({ name, leaves }) => ({
    name,
    places: new Set(leaves.flatMap((leaf) => placesOf(leaf, are, model))),
  }));
  for (const { name, places } of rest) {
    const odd = [...first!.places, ...places].find((place) =>
      !first!.places.has(place) || !places.has(place)
    );
    if (odd !== undefined) refuse(`only one of "${first!.name}" and "${name}" changes "${odd}"`);
  }
}

/** The places of a leaf, and which of them are scaled. */
function placesOf(leaf: Leaf, are: (kind: PartKind) => boolean, model: Model): readonly string[] {
  const scales = leaf.configs.some(({ fields }) => fields["composition_mode"] === "scale");
  return pathsOf(leaf, are, model).map(({ path, kind }) =>
    scales && kind.scales ? `${path} (as a scale)` : path
  );
}

/** The places whose paths occur in those of the parameters. */
function pathsOf(
  { parts }: Leaf,
  are: (kind: PartKind) => boolean,
  { spec }: Model,
): readonly { readonly path: string; readonly kind: PartKind }[] {
  const paths = [...spec.sublayers, ...spec.linears, ...spec.attentions].map(({ path }) => path)
    .sort((a, b) => b.length - a.length);
  return parts.filter(({ kind }) => are(kind)).flatMap(({ kind, reads }) =>
    reads.flatMap(({ path: at }) => {
      const path = paths.find((path) => `.${at}.`.includes(`.${path}.`));
      return path === undefined ? [] : [{ path, kind }];
    })
  );
}

/** The library pads shorter prefixes with rows that are attended to. */
function checkLengths(branches: readonly Branch[], refuse: Refuse): void {
  const [first, ...rest] = branches.map(({ name, leaves }) => ({
    name,
    length: leaves.flatMap(({ configs }) => configs)
      .reduce((sum, { fields }) => sum + Number(fields["prefix_length"] ?? 0), 0),
  }));
  const other = rest.find(({ length }) => length !== first!.length);
  if (other === undefined) return;
  refuse(
    `the prefixes of "${first!.name}" and "${other.name}" have ${
      first!.length
    } and ${other.length} rows, and the library attends to what it fills the shorter with`,
  );
}
