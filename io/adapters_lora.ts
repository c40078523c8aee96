/** LoRA, DoRA, VeRA, MTL-LoRA and (IA)³ between AdapterHub folders and methods. */
import { at, gated, type LinearPlace, type Method, type Model, sizesOf } from "../core/mod.ts";
import type { AdaptersFields, Architecture } from "../formats/adapters_config.ts";
import type { StoredTensor } from "../formats/tensor_file.ts";
import {
  dora,
  fusedIa3,
  fusedLora,
  ia3,
  lora,
  type ProjectionPart,
  sentenceGate,
  vera,
} from "../methods/mod.ts";
import { divide, exp, identity, matmul, multiply, reshape, sum } from "../ops/mod.ts";
import { blocksWithout } from "./adapters_bottleneck.ts";
import {
  type AdaptersPart,
  all,
  bareKey,
  below,
  type Both,
  gate,
  joined,
  type PartKind,
  same,
} from "./adapters_layout.ts";

const ROLES = { q: "query", k: "key", v: "value" } as const;

/** The layer of a feed-forward part that the library means: its Llama has the two the other way round. */
export const FEED_FORWARD_ROLES: Readonly<
  Record<string, { readonly intermediate_lora: string; readonly output_lora: string }>
> = {
  llama: { intermediate_lora: "down", output_lora: "up" },
  other: { intermediate_lora: "up", output_lora: "down" },
};

/** The parts that a LoRA config describes. @throws {RangeError} when the model cannot have them. */
export function loraParts(
  architecture: Architecture,
  fields: AdaptersFields,
  model: Model,
  name: string,
  stored: ReadonlyMap<string, StoredTensor>,
): readonly AdaptersPart[] {
  const stays = blocksWithout(fields["leave_out"]!, model);
  const wanted = fields["attn_matrices"] as readonly string[];
  const odd = wanted.find((matrix) => !Object.hasOwn(ROLES, matrix));
  if (odd !== undefined) {
    throw new RangeError(`Cannot load "${name}": attn_matrices has "${odd}", known are "q", "k" and "v"`);
  }
  const names = FEED_FORWARD_ROLES[model.architecture.name] ?? FEED_FORWARD_ROLES["other"]!;
  const roles: readonly string[] = [
    ...fields["selfattn_lora"] ? wanted.map((matrix) => ROLES[matrix as keyof typeof ROLES]) : [],
    ...(["intermediate_lora", "output_lora"] as const).flatMap((name) => fields[name] ? [names[name]] : []),
  ];
  const linears = model.spec.linears.filter((place) => place.layer !== undefined && (stays?.(place) ?? true));
  const fused = fields["selfattn_lora"] && wanted.length > 0
    ? linears.filter(({ role }) => role === "qkv")
    : [];
  const places = linears.filter(({ role }) => roles.includes(role));
  if (fused.length + places.length === 0) {
    throw new RangeError(`Cannot load "${name}": the model has none of the layers that it changes`);
  }
  const gatedToo = fields["use_gating"] === true;
  const scales = fields["composition_mode"] === "scale";
  if (!scales && fields["composition_mode"] !== "add") {
    throw new RangeError(
      `Cannot load "${name}": composition_mode is ${
        JSON.stringify(fields["composition_mode"])
      }, known are "add" and "scale"`,
    );
  }
  if (scales && gatedToo) {
    throw new RangeError(
      `Cannot load "${name}": a gate on (IA)³ multiplies the whole layer and is not supported`,
    );
  }
  const parts = (Object.keys(ROLES) as readonly (keyof typeof ROLES)[])
    .filter((matrix) => wanted.includes(matrix)).map((matrix) => ROLES[matrix]);
  const fusedOnes = fused.length === 0 ? [] : [
    scales
      ? fusedIa3Part(fused, parts, fields, name)
      : fusedLoraPart(fused, parts, architecture, fields, name),
  ];
  const ungated = [
    ...fusedOnes.map((part) => stays === undefined ? part : { ...part, method: at(stays, part.method) }),
    ...places.length === 0 ? [] : [
      scales ? ia3Part(places, fields, name) : linearPart(architecture, places, fields, name, stored),
    ],
  ];
  return gatedToo
    ? ungated.map((part) => gatedPart(part, part.kind === "fused" ? fused : places, parts, name))
    : ungated;
}

const keyOf = (place: LinearPlace, name: string): string => `${bareKey(place.path)}.loras.${name}`;

/** α with which the factor is that of the folder: under a gate there is none. */
const alphaOf = (fields: AdaptersFields): number =>
  (fields["use_gating"] ? fields["r"] : fields["alpha"]) as number;

function gatedPart(
  part: AdaptersPart,
  places: readonly LinearPlace[],
  parts: readonly ProjectionPart[],
  name: string,
): AdaptersPart {
  const gates = places.flatMap((place) => {
    const { path, inFeatures, outFeatures } = place;
    const key = `${keyOf(place, name)}.gate`;
    if (part.kind !== "fused") return [gate(`${path}.linear`, key, inFeatures)];
    const at = (role: ProjectionPart): string =>
      `gates.${path}.linear.${["query", "key", "value"].indexOf(role) * outFeatures / 3}`;
    const n = parts.length;
    return [
      joined(
        `${key}.weight`,
        [n, inFeatures],
        [n, inFeatures],
        0,
        parts.map((role) => ({
          path: `${at(role)}.weight`,
          shape: [inFeatures, 1],
        })),
      ),
      joined(`${key}.bias`, [n], [n], 0, parts.map((role) => ({ path: `${at(role)}.bias`, shape: [1] }))),
    ];
  });
  return {
    kind: part.kind,
    method: gated(part.method, sentenceGate()) as unknown as Method,
    ...all([below("of", part), ...gates]),
  };
}

function fusedLoraPart(
  places: readonly LinearPlace[],
  parts: readonly ProjectionPart[],
  architecture: Architecture,
  fields: AdaptersFields,
  name: string,
): AdaptersPart {
  if (architecture === "mtl_lora" || fields["use_dora"] || isVera(fields)) {
    throw new RangeError(`Cannot load "${name}": a fused projection has plain LoRA alone in the library`);
  }
  const rank = fields["r"] as number;
  return {
    kind: "fused",
    method: fusedLora({ parts, rank, alpha: alphaOf(fields), dropout: fields["dropout"] as number }),
    ...all(places.flatMap((place) => {
      const { path, inFeatures, outFeatures } = place;
      const [n, d] = [parts.length, outFeatures / 3];
      return [
        joined(
          `${keyOf(place, name)}.lora_A`,
          [n * rank, inFeatures],
          [n * rank, inFeatures],
          0,
          parts.map((part) => ({
            path: `${path}.${part}.a`,
            shape: [rank, inFeatures],
          })),
        ),
        joined(
          `${keyOf(place, name)}.lora_B`,
          [n * d, rank],
          [n * d, rank],
          0,
          parts.map((part) => ({
            path: `${path}.${part}.b`,
            shape: [d, rank],
          })),
        ),
      ];
    })),
  };
}

function fusedIa3Part(
  places: readonly LinearPlace[],
  parts: readonly ProjectionPart[],
  fields: AdaptersFields,
  name: string,
): AdaptersPart {
  return {
    kind: "fused",
    method: fusedIa3({ parts }),
    ...all(places.map((place) => {
      const d = place.outFeatures / 3;
      const n = parts.length * d;
      return scaledBy(
        fields["alpha"] as number,
        joined(
          `${keyOf(place, name)}.lora_B`,
          [n, 1],
          [n],
          0,
          parts.map((part) => ({
            path: `${place.path}.${part}.l`,
            shape: [d],
          })),
        ),
      );
    })),
  };
}

function ia3Part(places: readonly LinearPlace[], fields: AdaptersFields, name: string): AdaptersPart {
  if (fields["r"] !== 1) {
    throw new RangeError(`Cannot load "${name}": (IA)³ with r = ${fields["r"]} is not defined`);
  }
  return {
    kind: "lora",
    method: ia3({ targets: places.map(({ path }) => path), feedForward: [] }),
    ...all(places.map((place) =>
      scaledBy(
        fields["alpha"] as number,
        same(`${place.path}.l`, `${keyOf(place, name)}.lora_B`, [place.outFeatures], [place.outFeatures, 1]),
      )
    )),
  };
}

/** The library multiplies the stored vector by α. */
function scaledBy(alpha: number, layout: Both): Both {
  if (alpha === 1) return layout;
  return {
    reads: layout.reads.map((r) => ({ ...r, read: (t) => multiply(r.read(t), alpha) })),
    writes: layout.writes.map((w) => ({ ...w, write: (t) => multiply(w.write(t), 1 / alpha) })),
  };
}

const isVera = (fields: AdaptersFields): boolean =>
  typeof fields["vera_d"] === "number" || typeof fields["vera_b"] === "number";

/** LoRA and its relatives on layers of their own. */
function linearPart(
  architecture: Architecture,
  places: readonly LinearPlace[],
  fields: AdaptersFields,
  name: string,
  stored: ReadonlyMap<string, StoredTensor>,
): AdaptersPart {
  const rank = fields["r"] as number;
  const options = {
    rank,
    alpha: alphaOf(fields),
    dropout: fields["dropout"] as number,
    targets: places.map(({ path }) => path),
  };
  const kind: PartKind = "lora";
  if (fields["use_dora"] && (fields["use_gating"] || places.some(({ transposed }) => transposed))) {
    throw new RangeError(
      `Cannot load "${name}": the library has no DoRA with gates, and none on a layer that is stored [in, out]`,
    );
  }
  const veraLike = isVera(fields);
  if (veraLike && architecture === "lora" && !fields["use_dora"] && isDiagonal(places, name, stored)) {
    return {
      kind,
      method: vera({ rank, dropout: options.dropout, targets: options.targets }),
      ...veraTensors(places, fields, name),
    };
  }
  const method = fields["use_dora"] ? dora({ ...options, decomposition: "adapterHub" }) : lora(options);
  return {
    kind,
    method,
    ...all(places.map((place) => {
      const { inFeatures, outFeatures } = sizesOf(place);
      const { path } = place;
      const key = keyOf(place, name);
      return all([
        architecture === "mtl_lora"
          ? taskTensors(path, key, rank, inFeatures, outFeatures, fields)
          : veraLike
          ? productTensors(path, key, rank, inFeatures, outFeatures, name)
          : all([
            same(`${path}.a`, `${key}.lora_A`, [rank, inFeatures]),
            same(`${path}.b`, `${key}.lora_B`, [outFeatures, rank]),
          ]),
        ...fields["use_dora"]
          ? [same(`${path}.magnitude`, `${key}.m.weight`, [outFeatures], [outFeatures, 1])]
          : [],
      ]);
    })),
  };
}

/** Whether the matrices that the library trains in the place of VeRA's vectors still are diagonal. */
function isDiagonal(
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

/** λ as the diagonal of a square matrix; α/r goes into λ_b. */
function veraTensors(places: readonly LinearPlace[], fields: AdaptersFields, name: string): Both {
  const rank = fields["r"] as number;
  const scale = alphaOf(fields) / rank;
  const { inFeatures, outFeatures } = sizesOf(places[0]!);
  const odd = places.find((place) => place.inFeatures !== inFeatures || place.outFeatures !== outFeatures);
  if (odd !== undefined) {
    throw new RangeError(`Cannot use VeRA at "${odd.path}": the library's needs layers of one size`);
  }
  const diagonal = (path: string, key: string, n: number, factor: number): Both => ({
    reads: [{
      path,
      shape: [n],
      from: [{ key, shape: [n, n] }],
      read: ([t]) => multiply(sum(multiply(t!, identity(n, t!.backend)), { axis: 1 }), factor),
    }],
    writes: [{
      key,
      shape: [n, n],
      from: [path],
      write: ([t]) => multiply(identity(n, t!.backend), multiply(reshape(t!, [n, 1]), 1 / factor)),
    }],
  });
  return all([
    same("frozen.a", `shared_parameters.${name}.lora_A`, [rank, inFeatures]),
    same("frozen.b", `shared_parameters.${name}.lora_B`, [outFeatures, rank]),
    ...places.flatMap((place) => [
      diagonal(`${place.path}.lambdaD`, `${keyOf(place, name)}.vera_D`, rank, 1),
      diagonal(`${place.path}.lambdaB`, `${keyOf(place, name)}.vera_B`, outFeatures, scale),
    ]),
  ]);
}

/** VeRA with trained full matrices is LoRA with the factors D A and B' B. */
function productTensors(
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
function taskTensors(
  path: string,
  key: string,
  r: number,
  inner: number,
  outer: number,
  fields: AdaptersFields,
): Both {
  const n = fields["n_up_projection"] as number;
  if (fields["task_specific_matrix_type"] !== "singular_values") {
    throw new RangeError(
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
