/** Kernels that move, pick, compare and fold elements, against definitions written out per index; and memory. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type BinaryOp, type Operand, size, strides } from "../../../tensor/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { backend, blank, close, noise, operand, values } from "./operands.ts";

const shapes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
const count = (shape: readonly number[], dtype: "f32" | "i32" = "f32") =>
  operand(shape, Array.from({ length: size(shape) }, (_, i) => i), dtype);

/** The coordinates of every element in row-major order. */
function coordinates(shape: readonly number[]): number[][] {
  return Array.from(
    { length: size(shape) },
    (_, i) => strides(shape).map((step, axis) => Math.floor(i / step) % shape[axis]!),
  );
}
const offset = (shape: readonly number[], at: readonly number[]) =>
  strides(shape).reduce((sum, step, axis) => sum + step * at[axis]!, 0);

Deno.test("permute() puts axis axes[i] of x at axis i", () => {
  fc.assert(fc.property(shapes, fc.infiniteStream(fc.double({ noNaN: true })), (shape, order) => {
    const keys = shape.map(() => order.next().value as number);
    const axes = shape.map((_, i) => i).sort((a, b) => keys[a]! - keys[b]!);
    const out = blank(axes.map((axis) => shape[axis]!), "i32");
    backend.permute(count(shape, "i32"), axes, out);
    coordinates(out.shape).forEach((at, i) => {
      const source = shape.map((_, axis) => at[axes.indexOf(axis)]!);
      assert.equal(values(out)[i], offset(shape, source));
    });
  }));
});

Deno.test("slice() reads the box that place() writes", () => {
  const boxes = shapes.chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      box: fc.tuple(...shape.map((n) =>
        fc.tuple(fc.nat(n - 1), fc.nat(n - 1)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b) + 1] as const)
      )),
    })
  );
  fc.assert(
    fc.property(boxes, fc.constantFrom("f32", "f16", "bf16", "i32", "u8"), ({ shape, box }, dtype) => {
      const starts = box.map(([start]) => start);
      const x = operand(shape, Array.from({ length: size(shape) }, (_, i) => i + 1), dtype);
      const out = blank(box.map(([, n]) => n), dtype);
      backend.slice(x, starts, out);
      const expected = coordinates(out.shape).map((at) =>
        offset(shape, at.map((i, k) => i + starts[k]!)) + 1
      );
      const rounded = values(operand(out.shape, expected, dtype));
      assert.deepEqual(values(out), rounded);
      const back = blank(shape, dtype);
      backend.place(out, starts, back);
      const inside = new Set(expected);
      assert.deepEqual(values(back), values(x).map((v, i) => (inside.has(i + 1) ? v : 0)));
    }),
  );
});

Deno.test("concat() joins along any axis", () => {
  const [a, b, out] = [count([2, 1, 2]), count([2, 2, 2]), blank([2, 3, 2])];
  backend.concat([a, b], 1, out);
  assert.deepEqual(values(out), [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7]);
});

Deno.test("binary() broadcasts and compares", () => {
  const rules: Record<BinaryOp, (a: number, b: number) => number> = {
    add: (a, b) => a + b,
    subtract: (a, b) => a - b,
    multiply: (a, b) => a * b,
    divide: (a, b) => a / b,
    maximum: (a, b) => a > b ? a : b,
    minimum: (a, b) => a < b ? a : b,
    power: (a, b) => Math.abs(a) ** b,
    equal: (a, b) => Number(a === b),
    less: (a, b) => Number(a < b),
    lessEqual: (a, b) => Number(a <= b),
  };
  for (const [op, rule] of Object.entries(rules)) {
    const [x, y] = [noise(6), noise(4, 2)].map((list) => op === "power" ? list.map(Math.abs) : list);
    const [a, b, out] = [operand([3, 2], x!), operand([2, 1, 2], y!), blank([2, 3, 2])];
    backend.binary(op as BinaryOp, a, b, out);
    const expected = coordinates([2, 3, 2]).map(([i, j, k]) => rule(x![2 * j! + k!]!, y![2 * i! + k!]!));
    close(values(out), expected, 1e-7, op);
  }
  const [equal, sum] = [blank([3]), blank([3], "i32")];
  backend.binary("equal", operand([3], [1, 2, 3], "i32"), operand([1], [2], "i32"), equal);
  assert.deepEqual(values(equal), [0, 1, 0]);
  backend.binary("add", operand([3], [1, 2, 3], "i32"), operand([1], [2 ** 30], "i32"), sum);
  assert.deepEqual(values(sum), [1, 2, 3].map((x) => x + 2 ** 30)); // not a multiple of f32's steps there
});

Deno.test("select() takes a where the condition is not zero", () => {
  const out = blank([2, 2]);
  backend.select(operand([2, 1], [0, 3]), operand([2], [1, 2]), operand([1], [9]), out);
  assert.deepEqual(values(out), [9, 9, 1, 2]);
});

Deno.test("reduce() folds the middle of [outer, n, inner]; argmax() takes the first", () => {
  const x = operand([2, 3, 2], [1, 2, 3, -4, 5, 6, 7, 8, 9, 10, 11, -12]);
  const expected = { sum: [9, 4, 27, 6], max: [5, 6, 11, 10], min: [1, -4, 7, -12] };
  for (const op of ["sum", "max", "min"] as const) {
    const out = blank([2, 2]);
    backend.reduce(op, x, 2, 3, 2, out);
    assert.deepEqual(values(out), expected[op]);
  }
  const index = blank([2], "i32");
  backend.argmax(operand([2, 3], [1, 5, 5, -1, -3, -2]), index);
  assert.deepEqual(values(index), [1, 0]);
});

Deno.test("reduce() sums many small numbers without losing them", () => {
  const out = blank([1]);
  backend.reduce("sum", operand([1 << 18], new Float32Array(1 << 18).fill(0.1)), 1, 1 << 18, 1, out);
  close(values(out), [(1 << 18) * 0.1], 1e-7);
});

Deno.test("gatherRows() and scatterAddRows() are transposes, also from a quantized table", () => {
  const ids = operand([2, 2], [2, 0, 2, 1], "i32");
  const out = blank([2, 2, 2]);
  backend.gatherRows(count([3, 2]), ids, out);
  assert.deepEqual(values(out), [4, 5, 0, 1, 4, 5, 2, 3]);
  const sums = blank([4, 2]);
  backend.scatterAddRows(out, ids, sums);
  assert.deepEqual(values(sums), [0, 1, 2, 3, 8, 10, 0, 0]);
  for (const dtype of ["q8_0", "nf4_double", "int8", "f16"] as const) {
    const table = operand([3, 32], noise(96), dtype);
    const rows = blank([2, 2, 32]);
    backend.gatherRows(table, ids, rows);
    assert.deepEqual(values(rows), [2, 0, 2, 1].flatMap((i) => values(table).slice(32 * i, 32 * i + 32)));
  }
  assert.throws(
    () => backend.gatherRows(count([3, 2]), operand([1], [3], "i32"), out),
    /gatherRows: index 3 is outside 0 to 2/,
  );
});

Deno.test("gatherLast() and scatterAddLast() work along the last axis", () => {
  const ids = operand([2, 2], [1, 1, 0, 2], "i32");
  const [out, sums] = [blank([2, 2]), blank([2, 3])];
  backend.gatherLast(operand([2, 3], [10, 11, 12, 20, 21, 22]), ids, out);
  assert.deepEqual(values(out), [11, 11, 20, 22]);
  backend.scatterAddLast(out, ids, sums);
  assert.deepEqual(values(sums), [0, 22, 0, 20, 0, 22]);
});

Deno.test("fill() and cast() reach every plain dtype, copy() keeps the bytes", () => {
  for (const dtype of ["f32", "f16", "bf16", "i32", "u8"] as const) {
    const out = blank([3], dtype);
    backend.fill(2, out);
    assert.deepEqual(values(out), [2, 2, 2]);
    const wide = blank([3]);
    backend.cast(out, wide);
    assert.deepEqual(values(wide), [2, 2, 2]);
  }
  const x = operand([64], noise(64), "nf4");
  const [same, copied] = [blank([64], "nf4"), blank([64], "nf4")];
  backend.cast(x, same);
  backend.copy(x, copied);
  assert.deepEqual(values(same), values(x));
  assert.deepEqual(values(copied), values(x));
});

Deno.test("allocate() and download() keep their own bytes; a released handle cannot be read", () => {
  const own = reference();
  const raw = own.allocate(10);
  own.upload(raw, Uint8Array.of(1, 2, 3), 4);
  const copy = own.download(raw, 7) as Uint8Array;
  assert.deepEqual(copy, Uint8Array.of(0, 0, 0, 0, 1, 2, 3));
  own.upload(raw, Uint8Array.of(9), 4);
  assert.equal(copy[4], 1);
  const x: Operand = { raw, shape: [2], dtype: "f32" };
  own.release(raw, 10);
  assert.throws(() => own.fill(1, x));
  assert.throws(() => own.allocate(2 ** 53), /Cannot allocate 9007199254740992 bytes: 0 bytes are held/);
});
