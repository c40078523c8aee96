/**
 * The central gate of UniPELT. Mao et al. 2022, arXiv 2110.07577: one gate per block distributes it over the
 * components, instead of one gate per component.
 *
 *   [g_1 … g_n] = mean over tokens of softmax( W x_t + b )      x [t, d] the block's input   W [n, d]
 *
 * Every change of component i in the block is multiplied by g_i. The mean includes padding, as with
 * `sentenceGate`. The paper has two components; whether the mean is taken before or after the softmax could not be
 * determined.
 */
import {
  type BlockPlace,
  combined,
  defineCombinator,
  type Edit,
  fn,
  fold,
  type GateCall,
  gatedEdit,
  key as keyOf,
  type Method,
  type MethodDefinition,
  methodsOf,
  nest,
  paramsAt,
  paramsOf,
  type PrepassEdit,
  scope,
  type Spec,
  type Synchronous,
  type Tensor,
  type Tree,
  under,
} from "../../core/mod.ts";
import { mean, normal, slice, softmax, zeros } from "../../ops/mod.ts";
import { type Affine, affine } from "../shared/affine.ts";
import { rangeError } from "../../errors/error.ts";

/**
 * Methods under a central gate. Parameters: those of each component under `of.<name>`, and under `gates.<block>`
 * `weight` [n, d], normal with deviation 0.02 initially, and `bias` [n], zero.
 *
 * @throws {RangeError} when there are fewer than two components; at `edits`, when a component has changes outside the
 * blocks or changes that do not see the input.
 * @example
 * ```ts
 * import { centralGate, lora, pfeiffer } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(centralGate({ lora: lora(), adapter: pfeiffer() }).name, "centralGate(lora, adapter)");
 * ```
 */
export function centralGate(components: Readonly<Record<string, Method>>): Method {
  const named = Object.entries(components);
  const n = named.length;
  if (n < 2) {
    throw rangeError(
      "INVALID_ARGUMENT",
      `Expected at least two components under a central gate but found ${n}`,
    );
  }
  const component = (params: Tree, name: string): Tree =>
    (params["of"] as Readonly<Record<string, Tree>>)[name]!;
  return combined<Tree>({
    definition: centralGateDefinition,
    name: `centralGate(${Object.keys(components).join(", ")})`,
    components,
    at: (name) => ["of", name],
    init: ({ model, key }) =>
      scope((): Synchronous<Tree> => {
        const of = Object.fromEntries(
          named.map(([name, m]) => [name, m.init({ model, key: fold(keyOf(key), name) })]),
        );
        const gates = model.spec.blocks.flatMap(({ path, width }) =>
          under(path, {
            weight: normal(fold(keyOf(key), path), [n, width], model.backend, 0.02),
            bias: zeros([n], model.backend),
          })
        );
        return { of, gates: nest(gates) as Tree } as Synchronous<Tree>;
      }),
    edits: (params, spec) => [
      ...spec.blocks.map(({ path }): PrepassEdit => ({
        kind: "prepass",
        path,
        name: SIGNAL,
        run: fn(
          paramsAt(params, `gates.${path}`) as Affine,
          (gate, { states }) => shares(gate, states),
        ),
      })),
      ...named.flatMap(([name, method], i) =>
        method.edits(component(params, name), spec).map((edit) => share(edit, i, spec))
      ),
    ],
    of: (components, params) => ({
      method: centralGate(methodsOf(components)),
      params: { of: paramsOf(components), gates: params["gates"]! },
    }),
  });
}

/** `centralGate` in records. */
export const centralGateDefinition: MethodDefinition = defineCombinator(
  { name: "central-gate", summary: "Shares one gate in each block among several methods." },
  {},
  (_, components) => centralGate(methodsOf(components)),
  (name) => ["of", name],
);

const SIGNAL = "centralGate";

/** x [b, t, d] → [b, 1, n]. */
const shares = (gate: Affine, x: Tensor): Tensor =>
  mean(softmax(affine(gate, x)), { axis: 1, keepAxes: true });

function share(edit: Edit, i: number, spec: Spec): Edit {
  if (edit.kind === "prepass" || !spec.blocks.some((block) => stands(edit.path, block))) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot put the ${edit.kind} edit at "${edit.path}" under a central gate: it is in no block`,
    );
  }
  return gatedEdit(
    edit,
    fn({}, (_, { pass }: GateCall) => slice(pass.signal(SIGNAL), 2, i, i + 1)), // [b, 1, 1]
  );
}

const stands = (path: string, block: BlockPlace): boolean =>
  path === block.path || path.startsWith(`${block.path}.`);
