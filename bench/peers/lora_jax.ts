/**
 * The LoRA step of bench/peers/plain_llama.ts in @jax-js/jax on its wasm backend, which starts one worker per
 * core: the loss, its gradients and AdamW in one function compiled by its jit. Arguments: see `PlainOptions`.
 */
import {
  EPSILON,
  plainIds,
  type PlainLlama,
  plainLlama,
  type PlainLora,
  type PlainMatrix,
  plainOptions,
  rotations,
  SIZES,
} from "./plain_llama.ts";
import { servePeer } from "./serve.ts";

const options = plainOptions(Deno.args[0]);
const { heads, keyValueHeads, headWidth } = SIZES;
const t = options.tokens;

// The package is named at run time, so that checking this project does not fetch it.
const name = "npm:@jax-js/jax@0.1.25";
// deno-lint-ignore no-explicit-any -- the package has no types here
type Any = any;
const { init, defaultDevice, numpy: np, nn, jit, tree, valueAndGrad, blockUntilReady }: Any = await import(
  name
);
await init("wasm");
defaultDevice("wasm");

const array = ({ rows, columns, values }: PlainMatrix): Any => np.array(values, { shape: [rows, columns] });

/** y = x Wᵀ, x [t, in], W [out, in]. */
const linear = (x: Any, w: Any): Any => np.matmul(x, w.transpose());
const rmsNorm = (x: Any, w: Any): Any => {
  const meanSquare = np.mean(np.square(x.ref), -1, { keepdims: true }); // [t, 1]
  return x.div(np.sqrt(meanSquare.add(EPSILON))).mul(w);
};
/** (x₁, x₂) to (x₁ cos - x₂ sin, x₂ cos + x₁ sin), x [t, n, head width]. */
const rotate = (x: Any, cos: Any, sin: Any): Any => {
  const [first, second] = np.split(x.ref, 2, -1);
  return x.mul(cos).add(np.concatenate([second.neg(), first], -1).mul(sin));
};

/** The mean cross-entropy of the next tokens. A label's score is the product of its row of the embedding and x. */
const lossOf = (params: Any, { embedding, blocks, norm, cos, sin, ids, labels }: Any): Any => {
  let x = np.take(embedding.ref, ids, 0); // [t, width]
  blocks.forEach((block: Any, layer: number) => {
    const adapted = (x: Any, part: "q" | "k" | "v" | "o"): Any => {
      const { a, b } = params[layer][part];
      return linear(x.ref, block[part]).add(linear(linear(x, a), b));
    };
    const apart = (x: Any, n: number): Any => x.reshape([t, n, headWidth]);
    const h = rmsNorm(x.ref, block.attentionNorm);
    const q = rotate(apart(adapted(h.ref, "q"), heads), cos.ref, sin.ref);
    const k = rotate(apart(adapted(h.ref, "k"), keyValueHeads), cos.ref, sin.ref);
    const v = apart(adapted(h, "v"), keyValueHeads);
    const mixed = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([t, -1]);
    x = x.add(adapted(mixed, "o"));
    const g = rmsNorm(x.ref, block.feedForwardNorm);
    const inner = nn.silu(linear(g.ref, block.gate)).mul(linear(g, block.up));
    x = x.add(linear(inner, block.down));
  });
  cos.dispose();
  sin.dispose();
  const h = rmsNorm(x, norm).slice([0, t - 1]); // [t - 1, width]
  const wanted = np.sum(h.ref.mul(np.take(embedding.ref, labels, 0)), -1);
  return np.mean(nn.logsumexp(linear(h, embedding), -1).sub(wanted));
};

const [beta1, beta2] = [0.9, 0.999];
/** AdamW of one leaf; `rate` and `correction` are learning rate / (1 - β₁ᵗ) and 1 - β₂ᵗ. */
const adamw = (p: Any, g: Any, m: Any, v: Any, rate: Any, correction: Any): Any => {
  const first = m.mul(beta1).add(g.ref.mul(1 - beta1));
  const second = v.mul(beta2).add(np.square(g).mul(1 - beta2));
  const root = np.sqrt(second.ref.div(correction)).add(1e-8);
  return [p.sub(first.ref.mul(rate).div(root)), first, second];
};
const train = jit((params: Any, m: Any, v: Any, base: Any, rate: Any, correction: Any) => {
  const [loss, gradients] = valueAndGrad(lossOf)(tree.ref(params), base);
  const [ps, shape]: Any = tree.flatten(params);
  const [gs, ms, vs]: Any[] = [gradients, m, v].map(tree.leaves);
  const next = ps.map((p: Any, i: number) => adamw(p, gs[i], ms[i], vs[i], rate.ref, correction.ref));
  rate.dispose();
  correction.dispose();
  return [loss, ...[0, 1, 2].map((part) => tree.unflatten(shape, next.map((leaf: Any) => leaf[part])))];
});

const parts = ["q", "k", "v", "o"] as const;
const ofParts = <T>(
  block: Readonly<Record<typeof parts[number], PlainLora>>,
  f: (lora: PlainLora) => T,
): Any => Object.fromEntries(parts.map((part) => [part, f(block[part])]));
const uploaded = ({ embedding, blocks, norm }: PlainLlama) => ({
  frozen: {
    embedding: array(embedding),
    blocks: blocks.map((block) => ({
      ...ofParts(block, ({ weight }) => array(weight)),
      attentionNorm: array(block.attentionNorm),
      feedForwardNorm: array(block.feedForwardNorm),
      gate: array(block.gate),
      up: array(block.up),
      down: array(block.down),
    })),
    norm: array(norm),
  },
  factors: blocks.map((block) => ofParts(block, ({ a, b }) => ({ a: array(a), b: array(b) }))),
});
const { frozen, factors } = uploaded(plainLlama(options));
const ids = plainIds(options);
const table = rotations(t);
const base = {
  ...frozen,
  cos: np.array(table.cos, { shape: [t, 1, headWidth] }),
  sin: np.array(table.sin, { shape: [t, 1, headWidth] }),
  ids: np.array(Int32Array.from(ids), { dtype: np.int32 }),
  labels: np.array(Int32Array.from(ids.slice(1)), { dtype: np.int32 }),
};
let params: Any = factors;
let [m, v]: Any[] = [0, 1].map(() => tree.map((leaf: Any) => np.zerosLike(leaf.ref), params));
let count = 0;
/** One step; its loss. */
async function step(): Promise<number> {
  count++;
  const rate = options.learningRate / (1 - beta1 ** count);
  const [loss, ...next] = train(params, m, v, tree.ref(base), np.array(rate), np.array(1 - beta2 ** count));
  [params, m, v] = next;
  await blockUntilReady(tree.ref(next));
  return (await loss.data())[0];
}

if (options.losses > 0) {
  const losses: number[] = [];
  for (let i = 0; i < options.losses; i++) losses.push(await step());
  console.log(JSON.stringify({ losses }));
} else {
  await servePeer({ "@jax-js/jax": "0.1.25" }, async () => void await step());
}
Deno.exit(0);
