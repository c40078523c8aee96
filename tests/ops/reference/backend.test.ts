/** Forward kernels and AdamW against torch: golden/reference_kernels.json, made by oracles/reference_kernels.py. */
import assert from "node:assert/strict";
import type { UnaryOp } from "../../../tensor/mod.ts";
import { bitsAt, key } from "../../../tensor/mod.ts";
import golden from "../../oracles/golden/reference_kernels.json" with { type: "json" };
import { backend, blank, close, operand, values } from "./operands.ts";

/** f32 output of f64 sums: one rounding. */
const ROUNDING = 1e-7;

type Tensor = { readonly shape: readonly number[]; readonly data: readonly number[] };
const load = ({ shape, data }: Tensor) => operand(shape, data);

Deno.test("unary() equals torch", () => {
  for (const [op, expected] of Object.entries(golden.unary)) {
    const positive = ["log", "sqrt", "rsqrt"].includes(op);
    const x = operand([golden.x.length], positive ? golden.x.map(Math.abs) : golden.x);
    const out = blank([golden.x.length]);
    backend.unary(op as UnaryOp, x, out);
    const found = values(out);
    expected.forEach((y, i) =>
      // null: not finite in torch, or past the range of f32 only in f64
      y === null || Math.abs(y) > 3e38
        ? assert.ok(!Number.isFinite(found[i]!))
        : close([found[i]!], [y], ROUNDING, `${op}(${golden.x[i]})`)
    );
  }
});

Deno.test("unary() round takes ties to even, gelu keeps its far left tail", () => {
  const out = blank([4]);
  backend.unary("round", operand([4], [0.5, 1.5, 2.5, -0.5]), out);
  assert.deepEqual(values(out).map((x) => x + 0), [0, 2, 2, 0]);
  backend.unary("gelu", operand([4], [-8, -10, 10, 0]), out);
  // Python's math: x · erfc(−x / √2) / 2
  close(values(out).map((x, i) => x / [-4.976768e-15, -7.619853e-23, 10, 1][i]!), [1, 1, 1, 0], 1e-6);
});

Deno.test("matmul() equals torch with broadcast axes, transposes and a quantized right side", () => {
  const { in: [a, b], out: [y] } = golden.matmul as { in: Tensor[]; out: Tensor[] };
  const out = blank(y!.shape);
  const swapped = (t: Tensor) => {
    const axes = t.shape.map((_, i) => i);
    const order = [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!];
    const to = blank(order.map((i) => t.shape[i]!));
    backend.permute(load(t), order, to);
    return to;
  };
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const left = transposeA ? swapped(a!) : load(a!);
      backend.matmul(left, transposeB ? swapped(b!) : load(b!), { transposeA, transposeB }, out);
      close(values(out), y!.data, ROUNDING);
    }
  }
  const weight = operand([3, 64], Array.from({ length: 192 }, (_, i) => Math.cos(i)), "nf4_double");
  const x = operand([2, 64], Array.from({ length: 128 }, (_, i) => Math.sin(i)));
  const [packed, plain, dense] = [blank([2, 3]), blank([2, 3]), operand([3, 64], values(weight))];
  backend.matmul(x, weight, { transposeA: false, transposeB: true }, packed);
  backend.matmul(x, dense, { transposeA: false, transposeB: true }, plain);
  assert.deepEqual(values(packed), values(plain));
});

Deno.test("rmsNorm() and layerNorm() equal torch", () => {
  const { in: [x, w], out: [y] } = golden.rmsNorm as { in: Tensor[]; out: Tensor[] };
  const [out, mean, inverse] = [blank(x!.shape), blank([3]), blank([3])];
  backend.rmsNorm(load(x!), load(w!), 1e-5, out, inverse);
  close(values(out), y!.data, ROUNDING);
  const { in: [x2, w2, bias], out: [y2] } = golden.layerNorm as { in: Tensor[]; out: Tensor[] };
  backend.layerNorm(load(x2!), load(w2!), load(bias!), 1e-5, out, mean, inverse);
  close(values(out), y2!.data, ROUNDING);
});

Deno.test("crossEntropy() and its derivative equal torch, with and without smoothing", () => {
  for (
    const { in: [logits], out: [y, dx], labels, smoothing } of [
      golden.crossEntropy,
      golden.crossEntropySmooth,
    ]
  ) {
    const [x, targets] = [load(logits!), operand([5], labels, "i32")];
    const [loss, lse, dlogits] = [blank([5]), blank([5]), blank([5, 7])];
    backend.crossEntropy(x, targets, smoothing, loss, lse);
    close(values(loss), y!.data, 4 * ROUNDING);
    backend.crossEntropyGrad(x, targets, smoothing, lse, operand([5], [1, 1, 1, 1, 1]), dlogits);
    close(values(dlogits), dx!.data, 1e-6); // lse was rounded to f32
  }
});

Deno.test("crossEntropy() keeps hidden logits out of the loss and refuses labels past the vocabulary", () => {
  const [loss, lse] = [blank([1]), blank([1])];
  backend.crossEntropy(operand([1, 3], [0, -Infinity, 0]), operand([1], [2], "i32"), 0, loss, lse);
  close(values(loss), [Math.log(2)], ROUNDING);
  assert.throws(
    () => backend.crossEntropy(operand([1, 3], [0, 0, 0]), operand([1], [3], "i32"), 0, loss, lse),
    /crossEntropy of label 3 in row 0: labels are 0 to 2/,
  );
});

Deno.test("attention() and its derivatives equal torch: groups, offset, window, prefix, mask, bias", () => {
  for (
    const { in: inputs, out: [y, dq, dk, dv], ...options } of [
      golden.attention,
      golden.attentionFull,
      golden.attentionPrefix,
    ]
  ) {
    const [q, k, v, ...rest] = (inputs as Tensor[]).map(load);
    const mask = options.mask ? rest.shift() : undefined;
    const bias = options.bias ? rest.shift() : undefined;
    const how = { ...options, scale: 0.5 };
    const [b, t, h] = q!.shape as [number, number, number];
    const [out, lse] = [blank(q!.shape), blank([b, h, t])];
    backend.attention(q!, k!, v!, mask, bias, how, out, lse);
    close(values(out), y!.data, ROUNDING);
    const g = operand(q!.shape, y!.data.map((_, i) => Math.cos(i)));
    const grads = [q!, k!, v!].map((x) => blank(x.shape)) as [typeof q, typeof k, typeof v];
    backend.attentionGrad(
      q!,
      k!,
      v!,
      mask,
      bias,
      how,
      out,
      lse,
      g,
      grads[0]!,
      grads[1]!,
      grads[2]!,
      undefined,
    );
    // 1e-6: out, lse and g were rounded to f32.
    [dq, dk, dv].forEach((d, i) => close(values(grads[i]!), d!.data, 1e-6, `gradient ${i}`));
  }
});

Deno.test("attention() gives zeros to a query that sees no key", () => {
  const x = operand([1, 2, 1, 2], [1, 2, 3, 4]);
  const [out, lse] = [blank([1, 2, 1, 2]), blank([1, 1, 2])];
  const how = { scale: 1, causal: true, offset: 0, window: 0, always: 0 };
  backend.attention(x, x, x, operand([1, 2], [0, 1]), undefined, how, out, lse);
  assert.deepEqual(values(out), [0, 0, 3, 4]);
  assert.deepEqual(values(lse), [-Infinity, 25]);
  const [dq, dk, dv] = [blank(x.shape), blank(x.shape), blank(x.shape)];
  backend.attentionGrad(x, x, x, operand([1, 2], [0, 1]), undefined, how, out, lse, x, dq, dk, dv, undefined);
  assert.deepEqual(values(dv), [0, 0, 3, 4]);
  assert.ok([dq, dk].every((d) => values(d).every((y) => y === 0)));
});

Deno.test("rope() equals transformers' Llama rotation, and its inverse undoes it", () => {
  const { in: [x, cos, sin], out: [y] } = golden.rope as { in: Tensor[]; out: Tensor[] };
  const [out, back] = [blank(x!.shape), blank(x!.shape)];
  backend.rope(load(x!), load(cos!), load(sin!), false, out);
  close(values(out), y!.data, ROUNDING);
  backend.rope(out, load(cos!), load(sin!), true, back);
  close(values(back), x!.data, 4 * ROUNDING);
  // One table per batch: the second batch takes the angle of the row after the first t rows.
  const angles = [0, 0, 0, Math.PI / 2, Math.PI, 0];
  const tables = [Math.cos, Math.sin].map((f) => operand([2, 3, 1], angles.map(f)));
  const turned = blank([2, 3, 1, 2]);
  backend.rope(operand([2, 3, 1, 2], angles.flatMap(() => [1, 0])), tables[0]!, tables[1]!, false, turned);
  close(values(turned), angles.flatMap((a) => [Math.cos(a), Math.sin(a)]), ROUNDING);
});

Deno.test("adamw() equals torch over four steps, also in place", () => {
  const [start, ...gradients] = (golden.adamw.in as Tensor[]).map(load);
  const [m, v] = [operand([6], new Float32Array(6)), operand([6], new Float32Array(6))];
  golden.adamw.out.forEach((expected, i) => {
    const options = { learningRate: 0.05, beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.1 };
    const step = i + 1;
    backend.adamw(start!, gradients[i]!, m, v, { ...options, step }, start!, m, v);
    close(values(start!), expected.data, 4 * ROUNDING, `step ${step}`);
  });
});

Deno.test("adamw() reads and writes 8-bit moments", () => {
  const [p, g] = [operand([256], new Float32Array(256)), operand([256], new Float32Array(256).fill(2))];
  const [m, v] = [
    operand([256], new Float32Array(256), "dynamic8"),
    operand([256], new Float32Array(256), "udynamic8"),
  ];
  const how = { learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 0, weightDecay: 0, step: 1 };
  backend.adamw(p, g, m, v, how, p, m, v);
  close(values(p), new Array(256).fill(-0.1), ROUNDING); // the first step is sign(g)
  close(values(m), new Array(256).fill(0.2), ROUNDING);
  close(values(v), new Array(256).fill(0.04), ROUNDING);
});

Deno.test("uniform() is the top 24 bits of the key's stream", () => {
  const out = blank([5]);
  backend.uniform(key(7), out);
  assert.deepEqual(values(out), [0, 1, 2, 3, 4].map((i) => Math.floor(bitsAt(key(7), i) / 256) / 2 ** 24));
  const many = blank([20000]);
  backend.uniform(key(8), many);
  const mean = values(many).reduce((a, b) => a + b) / 20000;
  assert.ok(Math.abs(mean - 0.5) < 0.01, `${mean}`); // 5 standard errors
});
