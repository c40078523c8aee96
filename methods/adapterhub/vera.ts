/**
 * The tensors of VeRA and MTL-LoRA in AdapterHub folders: matrices where the papers have vectors, and LoRA's
 * factors computed from several.
 */
import { type LinearPlace, sizesOf } from "../../core/mod.ts";
import type { AdaptersFields } from "../../formats/adapters_fields.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { add, divide, exp, identity, matmul, multiply, reshape, sum } from "../../ops/mod.ts";
import { all, type Both, same } from "./layout.ts";
import { keyOf } from "./lora_layer.ts";
import { rangeError } from "../../errors/error.ts";

/** Whether the matrices that the library trains instead of VeRA's vectors are still diagonal. */
export function isDiagonal(
  places: readonly LinearPlace[],
  name: string,
  stored: ReadonlyMap<string, StoredTensor>,
): boolean {
  return places.every((place) =>
    ["vera_B", "vera_D"].every((leaf) => {
      const tensor = stored.get(`${keyOf(place, name)}.${leaf}`);
      if (tensor === undefined || tensor.dtype !== "f32") return tensor === undefined;
      const numbers = new Float32Array(tensor.read().slice().buffer);
      const n = tensor.shape[0]!;
      return numbers.every((value, i) => value === 0 || i % (n + 1) === 0);
    })
  );
}

/** λ as the diagonal of a square matrix. */
export function veraTensors(places: readonly LinearPlace[], rank: number, name: string): Both {
  const { inFeatures, outFeatures } = sizesOf(places[0]!);
  const odd = places.find((place) => place.inFeatures !== inFeatures || place.outFeatures !== outFeatures);
  if (odd !== undefined) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Cannot use VeRA at "${odd.path}": the library's needs layers of one size`,
    );
  }
  const diagonal = (path: string, key: string, n: number): Both => ({
    reads: [{
      path,
      shape: [n],
      from: [{ key, shape: [n, n] }],
      read: ([t]) => sum(multiply(t!, identity(n, t!.backend)), { axis: 1 }),
    }],
    writes: [{
      key,
      shape: [n, n],
      from: [path],
      made: "a diagonal of a matrix",
      write: ([t]) => add(multiply(identity(n, t!.backend), reshape(t!, [n, 1])), 0), // no −0 beside the diagonal
    }],
  });
  return all([
    same("frozen.a", `shared_parameters.${name}.lora_A`, [rank, inFeatures]),
    same("frozen.b", `shared_parameters.${name}.lora_B`, [outFeatures, rank]),
    ...places.flatMap((place) => [
      diagonal(`${place.path}.lambdaD`, `${keyOf(place, name)}.vera_D`, rank),
      diagonal(`${place.path}.lambdaB`, `${keyOf(place, name)}.vera_B`, outFeatures),
    ]),
  ]);
}

/** VeRA with trained full matrices is LoRA with the factors D A and B' B. */
export function productTensors(
  path: string,
  key: string,
  r: number,
  inner: number,
  outer: number,
  name: string,
): Both {
  const shared = `shared_parameters.${name}`;
  const product = (leaf: string, left: string, n: number, right: string, m: number): Both => ({
    reads: [{
      path: `${path}.${leaf}`,
      shape: [n, m],
      from: [{ key: `${key}.${left}`, shape: [n, n] }, { key: `${shared}.${right}`, shape: [n, m] }],
      read: ([a, b]) => matmul(a!, b!),
    }],
    writes: [],
  });
  return all([product("a", "vera_D", r, "lora_A", inner), product("b", "vera_B", outer, "lora_B", r)]);
}

/** MTL-LoRA of one task is LoRA: the diagonal Λ goes into A, the weighted mean of the projections is B. */
export function taskTensors(
  path: string,
  key: string,
  r: number,
  inner: number,
  outer: number,
  fields: AdaptersFields,
): Both {
  const n = fields["n_up_projection"] as number;
  if (fields["task_specific_matrix_type"] !== "singular_values") {
    throw rangeError(
      "INVALID_ARGUMENT",
      'Cannot load MTL-LoRA with a task_specific_matrix_type other than "singular_values"',
    );
  }
  return {
    reads: [
      {
        path: `${path}.a`,
        shape: [r, inner],
        from: [{ key: `${key}.lora_A`, shape: [r, inner] }, {
          key: `${key}.task_specific.values`,
          shape: [r],
        }],
        read: ([a, values]) => multiply(a!, reshape(values!, [r, 1])),
      },
      {
        path: `${path}.b`,
        shape: [outer, r],
        from: [{ key: `${key}.lora_B`, shape: [n, outer, r] }, { key: `${key}.weights`, shape: [n] }],
        read: ([b, weights]) => {
          const w = exp(divide(weights!, fields["weights_sharpness"] as number));
          return divide(sum(multiply(b!, reshape(w, [n, 1, 1])), { axis: 0 }), sum(w));
        },
      },
    ],
    writes: [],
  };
}
