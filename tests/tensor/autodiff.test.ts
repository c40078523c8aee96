/** Reverse mode: gradients of known functions, what is tracked, recomputation, memory. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Backend,
  castTo,
  checkpoint,
  dispose,
  lazy,
  leaves,
  memory,
  read,
  resetPeak,
  scope,
  type Tensor,
  tensor,
  type Tree,
  valueAndGrad,
} from "../../core/mod.ts";
import { add, argmax, crossEntropy, exp, gatherRows, matmul, multiply, sum, tanh } from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";

const vector = (backend: Backend, ...x: readonly number[]): Tensor => tensor(x, { backend });

async function gradientsOf(
  f: (p: Tree) => Tensor,
  p: Tree,
): Promise<Readonly<Record<string, readonly number[]>>> {
  const { value, gradients } = valueAndGrad(f)(p);
  const numbers = await Promise.all(
    leaves(gradients).map(async ([path, g]) => [path, [...await read(g)]] as const),
  );
  dispose([value, gradients]);
  return Object.fromEntries(numbers);
}

Deno.test("valueAndGrad() sums over every use of a parameter", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const p = { x: vector(backend, 2, 3) };
    // Σ x³ + x: 3x² + 1
    const grads = await gradientsOf(({ x }) => {
      const t = x as Tensor;
      return sum(add(multiply(multiply(t, t), t), t));
    }, p);
    assert.deepEqual(grads, { x: [13, 28] });
    dispose(p);
  }));

Deno.test("valueAndGrad() gives zeros for what the loss does not use, nothing for frozen and integer leaves", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const ids = tensor([1, 2], { backend, dtype: "i32" });
    const p = {
      used: vector(backend, 1),
      idle: vector(backend, 1, 1),
      frozen: { w: vector(backend, 5) },
      ids,
    };
    const grads = await gradientsOf(
      (q) => multiply(q["used"] as Tensor, (q["frozen"] as Tree)["w"] as Tensor),
      p,
    );
    assert.deepEqual(grads, { used: [5], idle: [0, 0] });
    dispose(p);
  }));

Deno.test("valueAndGrad() refuses a loss of several numbers", () =>
  assertNoLeak(() => {
    const p = { x: vector(reference(), 1, 2) };
    assert.throws(() => valueAndGrad(({ x }: typeof p) => exp(x))(p), {
      name: "RangeError",
      message: "Expected a loss of one number but found [2]",
    });
    dispose(p);
  }));

/** A random function of two parameters, built of layers. */
const programs = fc.array(fc.constantFrom("tanh", "square", "mix", "shift"), { minLength: 1, maxLength: 6 });
function layer(name: string, h: Tensor, w: Tensor): Tensor {
  switch (name) {
    case "tanh":
      return tanh(h);
    case "square":
      return multiply(h, multiply(h, 0.5));
    case "mix":
      return matmul(h, w);
    default:
      return add(h, sum(w));
  }
}

Deno.test("checkpoint() changes no value and no gradient", () =>
  fc.assert(
    fc.asyncProperty(programs, fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), (names, kept) =>
      assertNoLeak(async () => {
        const backend = reference();
        const p = {
          x: tensor([[0.3, -0.2], [0.1, 0.7]], { backend }),
          w: tensor([[0.5, -0.4], [0.2, 0.6]], { backend }),
        };
        const f = (recompute: boolean) =>
        ({ x, w }: Tree): Tensor =>
          sum(names.reduce((h, name, i) =>
            recompute && kept[i]
              ? checkpoint(() =>
                layer(name, h, w as Tensor)
              )
              : layer(name, h, w as Tensor), x as Tensor));
        const [plain, again] = [await gradientsOf(f(false), p), await gradientsOf(f(true), p)];
        for (const name of ["x", "w"]) assertClose(again[name]!, plain[name]!, 1e-6, name);
        dispose(p);
      })),
    { numRuns: 30 },
  ));

Deno.test("checkpoint() runs again what a choice of the largest is made from", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const p = { rows: tensor([[1], [2], [3]], { backend }) };
    const chosen = ({ rows }: Tree): Tensor => {
      const row = gatherRows(rows as Tensor, argmax(multiply(tensor([-2, -3, -1], { backend }), -1)));
      return sum(multiply(row, row));
    };
    const [plain, again] = [
      await gradientsOf(chosen, p),
      await gradientsOf((tree) => checkpoint(() => chosen(tree)), p),
    ];
    assertClose(plain["rows"]!, [0, 4, 0], 1e-6);
    assertClose(again["rows"]!, [0, 4, 0], 1e-6);
    dispose(p);
  }));

Deno.test("checkpoint() of a checkpoint is one, and nests", () =>
  assertNoLeak(async () => {
    const backend = reference();
    const p = { x: vector(backend, 0.5) };
    const f = ({ x }: Tree) => sum(checkpoint(() => exp(checkpoint(() => exp(x as Tensor)))));
    const { x } = await gradientsOf(f, p);
    assertClose(x!, [Math.exp(Math.exp(0.5)) * Math.exp(0.5)], 1e-6);
    dispose(p);
  }));

/** A backend that writes down which kernels it is asked for. */
function listening(backend: Backend): { readonly backend: Backend; readonly heard: string[] } {
  const heard: string[] = [];
  const get = (target: Backend, name: keyof Backend): unknown => {
    const member = target[name];
    if (typeof member !== "function") return member;
    return (...operands: readonly unknown[]): unknown => {
      heard.push(name);
      return Reflect.apply(member, target, operands);
    };
  };
  return { backend: new Proxy(backend, { get }) as Backend, heard };
}

Deno.test("checkpoint() runs nothing again whose result no derivative needs", async () => {
  const { backend, heard } = listening(reference());
  const p = { x: tensor([[0.3, -0.2]], { backend }) };
  const frozen = tensor([[0.5, -0.4], [0.2, 0.6]], { backend });
  const block = ({ x }: Tree, made: Tensor): Tensor => {
    const h = tanh(matmul(x as Tensor, made)); // its value is needed, so the product before it is, too
    return add(matmul(h, frozen), x as Tensor); // not needed, neither of them
  };
  const products = async (
    wrap: (f: () => Tensor) => Tensor,
  ): Promise<readonly [number, readonly number[]]> => {
    // Made where it is first read, in the first run: its kernels are none of the function's.
    const made = lazy(backend, [2, 2], "f32", () => castTo(castTo(frozen, "f16"), "f32"));
    heard.length = 0;
    const { x } = await gradientsOf((p) => sum(wrap(() => block(p, made))), p);
    return [heard.filter((name) => name === "matmul").length, x!];
  };
  const [plain, gradient] = await products((f) => f());
  assert.equal(plain, 2 + 2);
  assert.deepEqual(await products(checkpoint), [2 + 1 + 2, gradient]);
  // Within a checkpoint the inner one's result is needed by nothing but the outer's.
  assert.deepEqual(await products((f) => checkpoint(() => checkpoint(f))), [
    2 + 0 + 1 + 2,
    gradient,
  ]);
});

Deno.test("checkpoint() refuses a function that does something else the second time", () => {
  const x = vector(reference(), 0.5);
  let runs = 0;
  const f = ({ x }: { x: Tensor }): Tensor => sum(checkpoint(() => ++runs === 1 ? exp(x) : exp(exp(x))));
  assert.throws(() => valueAndGrad(f)({ x }), /checkpointed function again: it called 1 kernels and now 2/);
});

Deno.test("checkpoint() holds less at once", () => {
  const backend = reference();
  const p = { x: tensor(Array(1000).fill(0.5), { backend }) };
  const deep = (h: Tensor): Tensor => Array.from({ length: 8 }).reduce<Tensor>((t) => tanh(t), h);
  const peakOf = (block: (f: () => Tensor) => Tensor): number => {
    resetPeak();
    scope(() => {
      valueAndGrad(({ x }: typeof p) =>
        sum(Array.from({ length: 8 }).reduce<Tensor>((t) => block(() => deep(t)), x))
      )(p);
      return [];
    });
    return memory(backend).peak;
  };
  const [plain, recomputed] = [peakOf((f) => f()), peakOf(checkpoint)];
  assert.ok(recomputed < plain / 2, `${recomputed} is not half of ${plain}`); // 8 + 8 of 64 activations
  dispose(p);
});

Deno.test("gradients free activations as they go", () => {
  const backend = reference();
  const p = { x: tensor(Array(1000).fill(0.5), { backend }) };
  resetPeak();
  scope(() => {
    valueAndGrad(({ x }: typeof p) => sum(Array.from({ length: 20 }).reduce<Tensor>((t) => tanh(t), x)))(p);
    return [];
  });
  // 20 activations of 4,000 bytes, the parameter, and a few temporaries of tanh's derivative.
  assert.ok(memory(backend).peak <= 27 * 4000, `${memory(backend).peak}`);
  dispose(p);
});

for (const name of ALL_BACKENDS) {
  Deno.test(`crossEntropy() gives the same gradients over scores that nothing else reads as over others (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const [rows, classes] = [5, 11];
        const x = tensor(Array.from({ length: rows * classes }, (_, i) => 9 * Math.sin(i * i)), {
          backend,
          shape: [rows, classes],
        });
        const labels = tensor([3, 0, -100, 10, 7], { backend, dtype: "i32" });
        const seen = tensor([1, 2, 3, 4, 5], { backend });
        for (const smoothing of [0, 0.1]) {
          const loss = (logits: Tensor) => sum(multiply(crossEntropy(logits, labels, smoothing), seen));
          const squares = (logits: Tensor) => sum(multiply(logits, logits));
          // The parameter itself must stay; what adds to it is spent; what is read before or after is not yet.
          const [kept, spent] = await Promise.all(
            [({ x }: Tree) => loss(x as Tensor), ({ x }: Tree) => loss(add(x as Tensor, 0))]
              .map((f) => gradientsOf(f, { x })),
          );
          assert.deepEqual(spent, kept);
          for (const order of [[loss, squares], [squares, loss]] as const) {
            const both = await gradientsOf(({ x }) => {
              const logits = add(x as Tensor, 0);
              const [first, second] = order.map((f) => f(logits));
              return add(first!, second!);
            }, { x });
            const numbers = await read(x);
            assertClose(both["x"]!, kept!["x"]!.map((g, i) => g + 2 * numbers[i]!), 1e-6, "both");
          }
        }
        dispose([x, labels, seen]);
      })));
}

Deno.test("the derivative of crossEntropy() stands where the scores stood", () =>
  assertNoLeak(() => {
    const backend = reference();
    const [rows, classes] = [4, 1000];
    const p = { w: tensor(new Float32Array(classes), { backend, shape: [1, classes] }) };
    const x = tensor([1, 2, 3, 4], { backend, shape: [rows, 1] });
    const labels = tensor([0, 1, 2, 3], { backend, dtype: "i32" });
    resetPeak();
    const before = memory(backend).live;
    const { value, gradients } = valueAndGrad(({ w }: Tree) =>
      sum(crossEntropy(matmul(x, w as Tensor), labels))
    )(p);
    const scores = 4 * rows * classes;
    assert.ok(
      memory(backend).peak - before < 1.5 * scores,
      `${memory(backend).peak - before} of ${scores} bytes`,
    );
    dispose([value, gradients, x, labels, p]);
  }));
