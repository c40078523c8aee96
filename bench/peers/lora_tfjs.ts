/**
 * The LoRA step of bench/peers/plain_llama.ts in TensorFlow.js on its wasm backend. Its fast product supports
 * no transposed operands, so frozen weights are stored both ways; and its derivatives do not load in Deno
 * (they are in a file of its browser build), so each is written out. It finds no threads in Deno, regardless
 * of options, and computes on one. Arguments: see `PlainOptions`.
 */
import {
  EPSILON,
  plainIds,
  type PlainLlama,
  plainLlama,
  type PlainMatrix,
  plainOptions,
  rotations,
  SIZES,
} from "./plain_llama.ts";
import { servePeer } from "./serve.ts";

const options = plainOptions(Deno.args[0]);
const { heads, keyValueHeads, headWidth } = SIZES;
const t = options.tokens;
const group = heads / keyValueHeads;

// The packages are named at run time, so that checking this project does not fetch them.
const [core, wasm] = ["npm:@tensorflow/tfjs-core@4.22.0", "npm:@tensorflow/tfjs-backend-wasm@4.22.0"];
// deno-lint-ignore no-explicit-any -- the package has no types here
type Any = any;
const tf: Any = await import(core);
await import(wasm);
await tf.setBackend("wasm");
await tf.ready();

/** A frozen weight W [out, in] in both orientations: y = x Wᵀ, and dx = dy W. */
interface Frozen {
  readonly forward: Any;
  readonly backward: Any;
}

const frozen = ({ rows, columns, values }: PlainMatrix): Frozen => {
  const backward = tf.tensor2d(values, [rows, columns]);
  return { forward: tf.transpose(backward), backward };
};
const row = ({ columns, values }: PlainMatrix): Any => tf.tensor2d(values, [1, columns]);

/** x [t, in] to [t, out]. */
const linear = (x: Any, { forward, backward }: Frozen): Any =>
  tf.customGrad((x: Any) => ({
    value: tf.matMul(x, forward),
    gradFunc: (dy: Any) => tf.matMul(dy, backward),
  }))(x);

/** x [t, n] by a trainable y [n, m]. */
const product = (x: Any, y: Any): Any =>
  tf.customGrad((x: Any, y: Any, save: Any) => {
    save([x, y]);
    return {
      value: tf.matMul(x, y),
      gradFunc: (dz: Any, [x, y]: Any[]) => [
        tf.matMul(dz, tf.transpose(y)),
        tf.matMul(tf.transpose(x), dz),
      ],
    };
  })(x, y);

const add = (x: Any, y: Any): Any =>
  tf.customGrad((x: Any, y: Any) => ({ value: tf.add(x, y), gradFunc: (dz: Any) => [dz, dz] }))(x, y);

/** silu(x) y, silu(x) = x σ(x), whose derivative is σ(x) (1 + x (1 - σ(x))). */
const swiglu = (x: Any, y: Any): Any =>
  tf.customGrad((x: Any, y: Any, save: Any) => {
    const s = tf.sigmoid(x);
    const silu = tf.mul(x, s);
    save([y, s, silu]);
    return {
      value: tf.mul(silu, y),
      gradFunc: (dz: Any, [y, s, silu]: Any[]) => [
        tf.mul(tf.mul(dz, y), tf.sub(tf.add(s, silu), tf.mul(s, silu))),
        tf.mul(dz, silu),
      ],
    };
  })(x, y);

/** x r w, r = 1 / √(mean x² + ε); dx = r (g - x r² mean(g x)), g = dy w. */
const rmsNorm = (x: Any, w: Any): Any =>
  tf.customGrad((x: Any, save: Any) => {
    const r = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), EPSILON)); // [t, 1]
    save([x, r]);
    return {
      value: tf.mul(tf.mul(x, r), w),
      gradFunc: (dy: Any, [x, r]: Any[]) => {
        const g = tf.mul(dy, w);
        const shared = tf.mul(tf.square(r), tf.mean(tf.mul(g, x), -1, true)); // [t, 1]
        return tf.mul(r, tf.sub(g, tf.mul(x, shared)));
      },
    };
  })(x);

const table = rotations(t);
const cos = tf.tensor3d(table.cos, [t, 1, headWidth]);
const sin = tf.tensor3d(table.sin, [t, 1, headWidth]);
/** (x₁, x₂) to (x₁ cos - x₂ sin, x₂ cos + x₁ sin); with -sin the inverse. x [t, n, head width]. */
const turned = (x: Any, sin: Any): Any => {
  const [first, second] = tf.split(x, 2, 2);
  return tf.add(tf.mul(x, cos), tf.mul(tf.concat([tf.neg(second), first], 2), sin));
};
const back = tf.neg(sin);
const rotate = (x: Any, n: number): Any => {
  const shape = [t, n, headWidth];
  return tf.customGrad((x: Any) => ({
    value: tf.reshape(turned(tf.reshape(x, shape), sin), [t, -1]),
    gradFunc: (dy: Any) => tf.reshape(turned(tf.reshape(dy, shape), back), [t, -1]),
  }))(x);
};

const causal = tf.tensor2d(
  Float32Array.from({ length: t * t }, (_, i) => i % t > Math.floor(i / t) ? -1e30 : 0),
  [t, t],
);
const scale = 1 / Math.sqrt(headWidth);
/**
 * [t, n · head width] to one matrix per key-value head, with the rows of its group's heads: [n / 3 · t, head
 * width].
 */
const apart = (x: Any, n: number): Any[] =>
  tf.unstack(
    tf.reshape(tf.transpose(tf.reshape(x, [t, n, headWidth]), [1, 0, 2]), [keyValueHeads, -1, headWidth]),
  );
const together = (parts: Any[], n: number): Any =>
  tf.reshape(tf.transpose(tf.reshape(tf.stack(parts), [n, t, headWidth]), [1, 0, 2]), [t, n * headWidth]);
const products = (x: Any[], y: Any[]): Any[] => x.map((part, i) => tf.matMul(part, y[i]));
const transposed = (x: Any[]): Any[] => x.map((part) => tf.transpose(part));

/** softmax(q kᵀ / √d + mask) v, one product per key-value head: q [t, 576], k and v [t, 192]. */
const attention = (q: Any, k: Any, v: Any): Any =>
  tf.customGrad((q: Any, k: Any, v: Any, save: Any) => {
    const [qs, ks, vs] = [apart(q, heads), apart(k, keyValueHeads), apart(v, keyValueHeads)];
    const scores = tf.reshape(tf.stack(products(qs, transposed(ks))), [heads, t, t]);
    const p = tf.softmax(tf.add(tf.mul(scores, scale), causal)); // [heads, t, t]
    save([p, q, k, v]);
    return {
      value: together(products(tf.unstack(tf.reshape(p, [keyValueHeads, group * t, t])), vs), heads),
      gradFunc: (dy: Any, [p, q, k, v]: Any[]) => {
        const [qs, ks, vs] = [apart(q, heads), apart(k, keyValueHeads), apart(v, keyValueHeads)];
        const dys = apart(dy, heads);
        const dp = tf.reshape(tf.stack(products(dys, transposed(vs))), [heads, t, t]);
        const ds = tf.mul(tf.mul(p, tf.sub(dp, tf.sum(tf.mul(dp, p), -1, true))), scale);
        const [ps, dss] = [p, ds].map((x) => tf.unstack(tf.reshape(x, [keyValueHeads, group * t, t])));
        return [
          together(products(dss, ks), heads),
          together(products(transposed(dss), qs), keyValueHeads),
          together(products(transposed(ps), dys), keyValueHeads),
        ];
      },
    };
  })(q, k, v);

/**
 * The weights as tensors. The factors are in the layout of the products, Aᵀ [in, rank] and Bᵀ [rank, out],
 * concatenated in one vector.
 */
const uploaded = ({ embedding, blocks, norm }: PlainLlama) => {
  const factors = blocks.flatMap(({ q, k, v, o }) => [q, k, v, o].flatMap(({ a, b }) => [a, b]));
  return {
    embedding: frozen(embedding),
    blocks: blocks.map((block) => ({
      attentionNorm: row(block.attentionNorm),
      loras: [block.q, block.k, block.v, block.o].map(({ weight }) => frozen(weight)),
      feedForwardNorm: row(block.feedForwardNorm),
      gate: frozen(block.gate),
      up: frozen(block.up),
      down: frozen(block.down),
    })),
    norm: row(norm),
    shapes: factors.map(({ rows, columns }) => [columns, rows]),
    factors: tf.tidy(() =>
      tf.concat(
        factors.map(({ rows, columns, values }) =>
          tf.reshape(tf.transpose(tf.tensor2d(values, [rows, columns])), [-1])
        ),
      )
    ),
  };
};
const { embedding, blocks, norm, shapes, factors } = uploaded(plainLlama(options));
const ids = plainIds(options);
const x0 = tf.gather(embedding.backward, tf.tensor1d(ids, "int32"));
const labels = ids.slice(1);
const places = tf.tensor2d(labels.map((id, i) => [i, id]), undefined, "int32");
const wanted = tf.gather(embedding.backward, tf.tensor1d(labels, "int32")); // the head's rows of the labels

/**
 * Mean cross-entropy of the head's scores where there is a next token; x's derivative is (p - 1[label]) E /
 * n.
 */
const loss = (x: Any): Any =>
  tf.customGrad((x: Any, save: Any) => {
    const p = tf.softmax(tf.matMul(tf.slice(x, 0, t - 1), embedding.forward)); // [t - 1, vocabulary]
    save([p]);
    return {
      value: tf.neg(tf.mean(tf.log(tf.gatherND(p, places)))),
      gradFunc: (dy: Any, [p]: Any[]) =>
        tf.pad(tf.mul(tf.sub(tf.matMul(p, embedding.backward), wanted), tf.div(dy, labels.length)), [[0, 1], [
          0,
          0,
        ]]),
    };
  })(x);

const apartAgain = (flat: Any): Any[] =>
  tf.split(flat, shapes.map(([n, m]) => n! * m!)).map((part: Any, i: number) => tf.reshape(part, shapes[i]));

const forward = (...params: Any[]): Any => {
  let x = x0;
  blocks.forEach((block, layer) => {
    const lora = (x: Any, i: number): Any => {
      const [a, b] = params.slice(8 * layer + 2 * i);
      return add(linear(x, block.loras[i]!), product(product(x, a), b));
    };
    const h = rmsNorm(x, block.attentionNorm);
    const [q, k] = [rotate(lora(h, 0), heads), rotate(lora(h, 1), keyValueHeads)];
    x = add(x, lora(attention(q, k, lora(h, 2)), 3));
    const g = rmsNorm(x, block.feedForwardNorm);
    x = add(x, linear(swiglu(linear(g, block.gate), linear(g, block.up)), block.down));
  });
  return loss(rmsNorm(x, norm));
};
const derive = tf.valueAndGrads(forward);

const [beta1, beta2] = [0.9, 0.999];
let state = { flat: factors, m: tf.zerosLike(factors), v: tf.zerosLike(factors) };
let count = 0;
/** One step, AdamW on all factors at once; its loss. */
function step(): number {
  count++;
  const old = state;
  const { value, ...next } = tf.tidy(() => {
    const { value, grads } = derive(apartAgain(old.flat));
    const g = tf.concat(grads.map((x: Any) => tf.reshape(x, [-1])));
    const m = tf.add(tf.mul(old.m, beta1), tf.mul(g, 1 - beta1));
    const v = tf.add(tf.mul(old.v, beta2), tf.mul(tf.square(g), 1 - beta2));
    const root = tf.add(tf.sqrt(tf.div(v, 1 - beta2 ** count)), 1e-8);
    const change = tf.div(tf.mul(m, options.learningRate / (1 - beta1 ** count)), root);
    return { value, flat: tf.sub(old.flat, change), m, v };
  });
  tf.dispose(old);
  state = next;
  const [number] = value.dataSync();
  tf.dispose(value);
  return number;
}

if (options.losses > 0) console.log(JSON.stringify({ losses: Array.from({ length: options.losses }, step) }));
else await servePeer({ tfjs: "4.22.0" }, () => void step());
