/**
 * `deno run -A bench/same_losses.ts [OPTIONS]`: checks that the LoRA steps timed in TensorFlow.js and jax-js
 * are the same as ours. Each library, this project included, trains the same adapter on the same weights and
 * tokens; the losses of a few steps, so gradients and AdamW too, must agree within 1e-3 of their size.
 * Options as `PlainOptions`; by default two blocks and 1000 tokens.
 */
import { adapt, keep, lossAndGradients, nest, newModel, read, tensor, type Tree } from "../mod.ts";
import { lora } from "../methods/mod.ts";
import { architectureOf } from "../models/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { adamw, resident } from "../train/mod.ts";
import { plainIds, plainLlama, type PlainMatrix, plainOptions } from "./peers/plain_llama.ts";
import { SMOLLM2 } from "./peers/smollm2.ts";

/** The paths of each block's plain weights in a checkpoint. */
const PLACES = {
  attentionNorm: "input_layernorm",
  q: "self_attn.q_proj",
  k: "self_attn.k_proj",
  v: "self_attn.v_proj",
  o: "self_attn.o_proj",
  feedForwardNorm: "post_attention_layernorm",
  gate: "mlp.gate_proj",
  up: "mlp.up_proj",
  down: "mlp.down_proj",
} as const;

const settings = Deno.args[0] ??
  JSON.stringify({ layers: 2, vocabulary: 1000, losses: 4, learningRate: 0.01 });
const options = plainOptions(settings);
const backend = await wasm({ threads: 2 });

async function ownLosses(): Promise<readonly number[]> {
  const plain = plainLlama(options);
  const leaf = ({ rows, columns, values }: PlainMatrix) =>
    tensor(values, { backend, shape: rows === 1 ? [columns] : [rows, columns] });
  const inBlocks = <T>(
    f: (path: string, part: PlainMatrix | { readonly weight: PlainMatrix }) => readonly T[],
  ) =>
    plain.blocks.flatMap((block, layer) =>
      (Object.keys(PLACES) as (keyof typeof PLACES)[])
        .flatMap((part) => f(`model.layers.${layer}.${PLACES[part]}`, block[part]))
    );
  const config = { ...SMOLLM2, vocab_size: options.vocabulary, num_hidden_layers: options.layers };
  const model = newModel({
    ...architectureOf(config),
    config,
    backend,
    weights: [
      ["model.embed_tokens.weight", leaf(plain.embedding)],
      ...inBlocks((path, part) => [[`${path}.weight`, leaf("weight" in part ? part.weight : part)] as const]),
      ["model.norm.weight", leaf(plain.norm)],
    ],
  });
  const adapter = adapt(model, lora({ rank: 8, targets: ["q_proj", "k_proj", "v_proj", "o_proj"] }), 1);
  const factors = inBlocks((path, part) =>
    "a" in part && "b" in part
      ? [[`${path}.a`, leaf(part.a as PlainMatrix)], [`${path}.b`, leaf(part.b as PlainMatrix)]] as const
      : []
  );
  const params = keep(nest(factors) as Tree);
  const moments = resident(adamw(), params.tree);
  const inputIds = [[...plainIds(options)]];
  const losses: number[] = [];
  for (let step = 1; step <= options.losses; step++) {
    const { value, gradients } = lossAndGradients(model, { ...adapter, params: params.tree }, {
      inputIds,
      labels: inputIds,
    });
    const { learningRate } = options;
    params.replace(await moments.apply(params.tree, gradients, { learningRate, step }));
    losses.push((await read(value))[0]!);
  }
  return losses;
}

async function theirLosses(file: string): Promise<readonly number[]> {
  const path = new URL(`peers/${file}`, import.meta.url).pathname;
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", path, JSON.stringify(options)],
  }).output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${file} failed: ${text.decode(stderr)}`);
  return JSON.parse(text.decode(stdout).split("\n").find((line) => line.startsWith("{"))!).losses;
}

const own = await ownLosses();
console.log("graft", ...own);
for (const file of ["lora_tfjs.ts", "lora_jax.ts"]) {
  const theirs = await theirLosses(file);
  const apart = Math.max(...own.map((loss, i) => Math.abs(theirs[i]! - loss) / loss));
  console.log(file, ...theirs, `apart by ${apart.toExponential(1)}`);
  if (!(apart < 1e-3)) Deno.exitCode = 1;
}
