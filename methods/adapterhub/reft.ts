/** ReFT between AdapterHub folders and methods. */
import { withDefaults } from "../peft/layers.ts";
import type { LoreftOptions } from "../rescaling/loreft.ts";
import { activationName } from "./activations.ts";
import { type Component, holds, refuse } from "./components.ts";
import { onlyBlocks } from "./only_blocks.ts";
import { at, key as keyOf, type Model, read, scope, type Synchronous, type Tensor } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import { loreft } from "../rescaling/loreft.ts";
import {
  concat,
  full,
  identity,
  matmul,
  multiply,
  normal,
  orthogonalRows,
  reciprocal,
  reshape,
  slice,
  subtract,
  sum,
  transpose,
  zeros,
} from "../../ops/mod.ts";
import { activationOf } from "./activations.ts";
import { type AdaptersPart, all, bareKey, blockNumber, type Both, same } from "./layout.ts";
import { REFT } from "./kinds.ts";
import { rangeError } from "../../errors/error.ts";

/** The part that a ReFT config describes. @throws {RangeError} when the model cannot have it. */
export function reftPart(fields: AdaptersFields, model: Model, name: string): AdaptersPart {
  const [rank, first, last] = [
    fields["r"],
    fields["prefix_positions"],
    fields["suffix_positions"],
  ] as readonly number[] as [number, number, number];
  const chosen = fields["layers"]!;
  const stays = chosen === "all"
    ? undefined
    : (place: { readonly stack: string; readonly layer?: number }): boolean =>
      place.layer === undefined || (chosen as readonly number[]).includes(blockNumber(model, place));
  const two = model.spec.stacks.length > 1;
  const blocks = model.spec.blocks.filter((place) => stays?.(place) ?? true);
  if (blocks.length === 0) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${name}": the model has none of the blocks of "layers"`,
    );
  }
  if (last > 0 && blocks.some(({ stack }) => two && stack === "decoder")) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot load "${name}": last positions in a decoder beside an encoder, whose length the library takes for the decoder's`,
    );
  }
  if (fields["output_reft"] !== true) {
    throw rangeError("INVALID_ARGUMENT", `Cannot load "${name}": output_reft is false, so it does nothing`);
  }
  const tied = fields["tied_weights"] === true;
  const orthogonal = fields["orthogonality"] === true;
  const method = loreft({
    rank,
    first,
    last,
    ends: tied ? "tied" : "apart",
    dropout: fields["dropout"] as number,
    rows: orthogonal ? "orthonormal" : "free",
    subtracts: fields["subtract_projection"] === true ? "projection" : "nothing",
    activation: activationOf(fields["non_linearity"]!),
    atMost: fields["at_most"] === "half" ? "half" : "text",
    ...two && { stacks: "both" as const },
  });
  // The library has a unit for both ends, even for an end without positions.
  const units = tied ? ["both"] : ["first", "last"];
  const used = units.filter((end) => end === "both" || (end === "first" ? first : last) > 0);
  return {
    kind: REFT,
    method: stays === undefined ? method : at(onlyBlocks(model.spec, stays), method),
    ...all(blocks.flatMap(({ path, width }) =>
      units.map((end, i) => {
        const key = `${bareKey(path)}.reft_layer.refts.${name}.units.${i}`;
        const unit = unitTensors(`${path}.${end}`, key, rank, width, orthogonal);
        return used.includes(end) ? unit : idle(unit, `${path}.${used[0]}`, `${path}.${end}`);
      })
    )),
  };
}

function unitTensors(path: string, key: string, r: number, d: number, orthogonal: boolean): Both {
  return all([
    same(`${path}.source.weight`, `${key}.learned_source.weight`, [r, d]),
    same(`${path}.source.bias`, `${key}.learned_source.bias`, [r]),
    orthogonal ? rotation(path, key, r, d) : same(`${path}.rotation`, `${key}.projection.weight`, [r, d]),
  ]);
}

/** A unit that is never used: it is checked but not read, and written as a copy of the other. */
function idle({ reads, writes }: Both, other: string, own: string): Both {
  return {
    reads: reads.map((r) => ({ ...r, path: "" })),
    writes: writes.map((w) => ({ ...w, from: w.from.map((path) => other + path.slice(own.length)) })),
  };
}

/**
 * R as PyTorch's orthogonal parametrisation stores it for r < d: R = (base Q)ᵀ, where Q [d, r] is the product
 * of the reflections whose vectors are below the diagonal of X = originalᵀ, with its columns multiplied by
 * the signs on that diagonal.
 */
function rotation(path: string, key: string, r: number, d: number): Both {
  const stored = `${key}.projection.parametrizations.weight`;
  if (r >= d) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot hold a rotation of rank ${r} at width ${d}: PyTorch stores it otherwise; take a lower rank`,
    );
  }
  return {
    reads: [{
      path: `${path}.rotation`,
      shape: [r, d],
      from: [{ key: `${stored}.original`, shape: [r, d] }, { key: `${stored}.0.base`, shape: [d, d] }],
      read: ([original, base]) => matmul(reflected(original!), base!, { transposeB: true }),
    }],
    writes: [
      {
        key: `${stored}.original`,
        shape: [r, d],
        from: [`${path}.rotation`],
        made: "a rotation's reflections",
        check: ([t]) => checkRows(`${path}.rotation`, t!),
        write: ([t]) => multiply(slice(identity(d, t!.backend), 0, 0, r), -1),
      },
      {
        key: `${stored}.0.base`,
        shape: [d, d],
        from: [`${path}.rotation`],
        made: "a rotation's base",
        write: ([t]) => {
          const more = orthogonalRows(concat([t!, normal(keyOf(0), [d - r, d], t!.backend)], 0));
          return transpose(concat([t!, slice(more, 0, r, d)], 0));
        },
      },
    ],
  };
}

/** @throws {RangeError} when the rows [r, d] are not orthonormal, as PyTorch's parametrisation would make them. */
async function checkRows(path: string, rows: Tensor): Promise<void> {
  const product = scope((): Synchronous<Tensor> => matmul(rows, rows, { transposeB: true })); // [r, r]
  const numbers = await read(product);
  product.storage.free();
  const r = rows.shape[0]!;
  // 1e-3: what f32 steps leave of them between two projections.
  if (numbers.every((value, i) => Math.abs(value - (i % (r + 1) === 0 ? 1 : 0)) < 1e-3)) return;
  throw rangeError(
    "CANNOT_SAVE",
    `Cannot save "${path}" for AdapterHub: its rows are not orthonormal (gradients, for one, are no rotation), and the library ` +
      "holds a rotation as reflections",
  );
}

/** Qᵀ [r, d] of X ᵀ [r, d]. */
function reflected(x: Tensor): Tensor {
  const [r, d] = x.shape as [number, number];
  const { backend } = x;
  const one = identity(d, backend);
  let q = slice(one, 0, 0, r); // rows are the columns of Q
  for (let i = r - 1; i >= 0; i--) {
    const row = slice(x, 0, i, i + 1); // [1, d]
    const v = concat([
      ...i > 0 ? [zeros([1, i], backend)] : [],
      full([1, 1], 1, backend),
      slice(row, 1, i + 1, d),
    ], 1);
    const τ = reshape(sum(multiply(v, v)), [1, 1]);
    const along = matmul(q, v, { transposeB: true }); // [r, 1]
    q = subtract(q, multiply(matmul(along, v), multiply(reciprocal(τ), 2)));
  }
  const diagonal = sum(multiply(x, slice(one, 0, 0, r)), { axis: 1, keepAxes: true }); // [r, 1]
  return multiply(q, diagonal);
}

/** The fields of ReFT. */
export function reftFields(component: Component, options: LoreftOptions, model: Model): AdaptersFields {
  const { rank, first, last, ends, dropout, rows, subtracts, activation, atMost } = withDefaults(
    loreft,
    options,
  );
  const held = model.spec.blocks.filter(({ path }) => holds(component, path));
  if (held.length === 0) refuse(component, "none of its parameters stands at a block");
  return {
    r: rank,
    prefix_positions: first,
    suffix_positions: last,
    tied_weights: ends === "tied",
    dropout,
    orthogonality: rows === "orthonormal",
    subtract_projection: subtracts === "projection",
    non_linearity: activation === "none" ? null : activationName(activation),
    layers: held.length === model.spec.blocks.length ? "all" : held.map((place) => blockNumber(model, place)),
    ...atMost === "half" && { at_most: "half" },
  };
}
