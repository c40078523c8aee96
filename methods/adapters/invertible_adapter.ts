/**
 * Invertible adapters. Pfeiffer et al. 2020, "MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer", arXiv
 * 2005.00052, section 4.3: a map of the embedded input that is undone before the output embedding.
 *
 *   y₁ = x₁ + F(x₂)   y₂ = x₂ + G(y₁)        and back   x₂ = y₂ − G(y₁)   x₁ = y₁ − F(x₂)        x = [x₁; x₂]
 *   F, G:  U σ(D x + b_D) + b_U              F reads the longer half, G the shorter, each with half its width as hidden size
 *
 * (the additive coupling of NICE, arXiv 1410.8516, as in AdapterHub's code). The map is undone only where a
 * head scores each row of the input's token table: a classifier reads the states unchanged.
 */
import {
  type Backend,
  type DefinedMethod,
  defineMethod,
  type Edit,
  fn,
  fold,
  type HiddenCall,
  type Key,
  key as keyOf,
  type LinearMap,
  paramsAt,
  type Spec,
  type StackPlace,
  type Tensor,
  tensorsIn,
  under,
} from "../../core/mod.ts";
import { oneOf, option } from "../../core/options/mod.ts";
import { add, concat, normal, slice, subtract, zeros } from "../../ops/mod.ts";
import {
  type Activation,
  activation,
  type Bottleneck,
  bottleneck,
  bottleneckRank,
} from "../shared/bottleneck.ts";
import { activationOption, reductionOption } from "../shared/adapter_options.ts";
import { freshParams } from "../shared/initial_factors.ts";
import { reductionOf } from "../shared/model_sizes.ts";
import { rangeError, typeError } from "../../errors/error.ts";

/** Options of invertible adapters. */
export interface InvertibleAdapterOptions {
  /** Width of a half divided by the hidden size of its network, default 2. */
  readonly reduction?: number;
  /** σ, default "relu". */
  readonly activation?: Activation;
  /**
   * Where the map is applied: to embedded tokens, including those of an encoder-decoder model's decoder
   * ("tokens", default), or to the input of the first block of the stack that reads the text, with positions
   * added ("entrance", as in AdapterHub).
   */
  readonly stands?: "tokens" | "entrance";
  /** Whether it is undone before heads that score tokens (default), or never. */
  readonly undone?: "heads" | "never";
}

type Coupling = { readonly f: Bottleneck; readonly g: Bottleneck };

/**
 * Invertible adapters as a method; MAD-X's language adapter is `compose({ invertible: invertibleAdapter(), adapter: pfeiffer()
 * })`. Parameters under the path of the stack's entrance: `f.down.weight`, … and `g.up.bias`.
 *
 * @throws {RangeError} when the reduction is below 1.
 * @example
 * ```ts
 * import { invertibleAdapter } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(invertibleAdapter().name, "invertible-adapter");
 * ```
 */
export const invertibleAdapter: DefinedMethod<InvertibleAdapterOptions> = defineMethod<
  InvertibleAdapterOptions
>({
  name: "invertible-adapter",
  summary: "Maps the embedded text by an invertible network, and back before the output.",
  facts: { parameters: "two bottlenecks over halves of d" },
  aliases: ["invertible"],
  title: "invertible adapter",
  options: {
    reduction: reductionOption(2),
    activation: activationOption("relu"),
    stands: option(
      oneOf("tokens", "entrance"),
      "at embedded tokens, or where they enter the blocks",
      "tokens",
    ),
    undone: option(oneOf("heads", "never"), "whether it is undone before heads that score tokens", "heads"),
  },
  create: ({ reduction, activation: name, stands, undone }) => {
    const σ = activation(name);
    return {
      init: ({ model: { spec, backend }, key }) =>
        freshParams(() =>
          entrances(spec, stands).flatMap(({ path, width }) =>
            under(path, fresh(fold(keyOf(key), path), width, reduction, backend))
          )
        ),
      edits: (params, spec) => {
        const sites = entrances(spec, stands);
        return sites.flatMap(({ path }): readonly Edit[] => {
          const { f, g } = paramsAt(params, path) as Coupling;
          const coupling = { f, g };
          const heads = undone === "heads" && path === sites[0]!.path ? scoring(spec) : [];
          return [
            {
              kind: "hidden",
              path,
              reads: "output",
              delta: fn(coupling, (c, { y }: HiddenCall) => subtract(coupled(c, y, σ), y)),
            },
            ...heads.map((head): Edit => ({
              kind: "linear",
              path: head.path,
              change: { form: "input", map: undoing(coupling, head.inFeatures, σ) },
            })),
          ];
        });
      },
    };
  },
  cli: {
    rate: 5e-4,
    flags: ["bottleneck"],
    options: ({ bottleneck }, spec) => ({ reduction: reductionOf(bottleneck, spec) }),
  },
  published: { setting: "embeddings, d/4" },
});

type Nonlinearity = (x: Tensor) => Tensor;

/** x [..., d] → y. */
function coupled({ f, g }: Coupling, x: Tensor, σ: Nonlinearity): Tensor {
  const [x1, x2] = halves(x);
  const y1 = add(x1, bottleneck(f, x2, σ));
  return concat([y1, add(x2, bottleneck(g, y1, σ))], -1);
}

/** y → x. */
function uncoupled({ f, g }: Coupling, y: Tensor, σ: Nonlinearity): Tensor {
  const [y1, y2] = halves(y);
  const x2 = subtract(y2, bottleneck(g, y1, σ));
  return concat([subtract(y1, bottleneck(f, x2, σ)), x2], -1);
}

function halves(x: Tensor): readonly [Tensor, Tensor] {
  const axis = x.shape.length - 1;
  const [d, half] = [x.shape[axis]!, Math.floor(x.shape[axis]! / 2)];
  return [slice(x, axis, 0, half), slice(x, axis, half, d)];
}

/** The inverse before a head. It is not linear, so it cannot be merged into a matrix. */
function undoing(coupling: Coupling, width: number, σ: Nonlinearity): LinearMap {
  const refuse = (): never => {
    throw typeError(
      "CANNOT_MERGE",
      "Cannot merge an invertible adapter: it is not linear, so no weight holds it",
    );
  };
  return {
    inFeatures: width,
    outFeatures: width,
    tensors: tensorsIn(coupling),
    cost: width * width,
    apply: (y) => uncoupled(coupling, y, σ),
    weight: refuse,
    columns: refuse,
  };
}

function fresh(key: Key, width: number, reduction: number, backend: Backend): Coupling {
  const short = Math.floor(width / 2);
  const net = (name: string, from: number, to: number): Bottleneck => {
    const seed = fold(key, name);
    const inside = bottleneckRank(from, reduction);
    const layer = (leaf: string, out: number, inner: number) => ({
      weight: normal(fold(seed, leaf), [out, inner], backend, 0.02),
      bias: zeros([out], backend),
    });
    return { down: layer("down", inside, from), up: layer("up", to, inside) };
  };
  return { f: net("f", width - short, short), g: net("g", short, width - short) };
}

/**
 * The stack that reads the text: the encoder, or the only one.
 *
 * @example
 * ```ts
 * import { freshModel, readingStack, reference, smallConfig } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const { spec } = freshModel(smallConfig("t5"), { backend: reference(), key: 0 });
 * assert.equal(readingStack(spec)?.stack, "encoder");
 * ```
 */
export function readingStack({ stacks }: Spec): StackPlace | undefined {
  return stacks.find(({ stack }) => stack === "encoder") ?? stacks[0];
}

/** The sites where embedded input enters: two stacks may share one. */
function entrances(
  spec: Spec,
  stands: "tokens" | "entrance",
): readonly { readonly path: string; readonly width: number }[] {
  const reader = readingStack(spec);
  const found = new Map(
    stands === "tokens"
      ? spec.stacks.map(({ entrance, width }) => [entrance, width])
      : reader === undefined
      ? []
      : [[reader.path, reader.width]],
  );
  if (found.size === 0) {
    throw rangeError("METHOD_DOES_NOT_FIT", "Cannot place invertible-adapter: the model offers no entrance");
  }
  return [...found].map(([path, width]) => ({ path, width }));
}

/** Heads that have a score for each row of the input's table. */
function scoring(spec: Spec) {
  const rows = spec.embeddings.find(({ role }) => role === "token")?.rows;
  return spec.heads.filter((head) => head.outFeatures === rows);
}
