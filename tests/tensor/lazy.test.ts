/** Lazy leaves: the same numbers as leaves made at once, made one at a time while a model is written, and no byte left. */
import assert from "node:assert/strict";
import {
  adapt,
  bytesOf,
  castTo,
  copyOf,
  dispose,
  fold,
  keep,
  key,
  lazy,
  mapTree,
  memory,
  merge,
  type Method,
  type Model,
  quantize,
  read,
  resetPeak,
  scope,
  type Synchronous,
  type Tensor,
  tensor,
  transiently,
  weightBytes,
  weightLeaves,
} from "../../core/mod.ts";
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { bitfit, compose, fullFineTune, ia3, lora, trainableTokens } from "../../mod.ts";
import {
  add,
  concat,
  multiply,
  negate,
  normal,
  reshape,
  select,
  slice,
  subtract,
  transpose,
} from "../../ops/mod.ts";
import { reference } from "../../ops/reference/mod.ts";
import { assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, BACKENDS, withBackend } from "../support/backends.ts";
import { GOLDEN } from "../support/golden.ts";
import { logitsOf } from "../support/law_numbers.ts";

const LLAMA = `${GOLDEN}models/llama`;
const bytesIn = async (model: Model): Promise<ReadonlyMap<string, string>> => {
  const found = new Map<string, string>();
  for (const [path, leaf] of weightLeaves(model.weights)) {
    found.set(path, `${leaf.dtype} ${leaf.shape.join()} ${(await bytesOf(leaf)).join()}`);
  }
  return found;
};

Deno.test("lazy() makes its numbers at the first reading, and transiently() forgets them again", async () => {
  const backend = reference();
  let made = 0;
  const make = () => (made++, tensor([1, 2, 3], { backend }));
  const x = lazy(backend, [3], "f32", make);
  assert.deepEqual([made, memory(backend).live], [0, 0]);
  assert.deepEqual([...await bytesOf(x)], [...new Uint8Array(new Float32Array([1, 2, 3]).buffer)]);
  assert.deepEqual([made, memory(backend).live], [1, 0]);
  const sum = scope(() => add(x, x));
  assert.deepEqual([made, memory(backend).live], [2, 24], "read outside of transiently, it stays");
  assert.deepEqual(await read(sum), new Float32Array([2, 4, 6]));
  transiently(() => scope(() => add(x, x)).storage.free());
  assert.deepEqual([made, memory(backend).live], [2, 24], "what was there before stays there");
  sum.storage.free();
  x.storage.free();
  assert.equal(memory(backend).live, 0);
  assert.throws(() => x.raw, /was freed/);
});

for (const name of ALL_BACKENDS) {
  Deno.test(`a lazy tensor that a kernel is the first to read is made before that kernel's own arguments (${name})`, () =>
    withBackend(name, (backend) =>
      assertNoLeak(async () => {
        const row = tensor([1, 2, 3], { backend });
        const cells = tensor(Float32Array.from({ length: 15 }, (_, i) => i + 1), { backend, shape: [5, 3] });
        const numbers = Float32Array.from({ length: 15 }, (_, i) => (i + 1) * (i % 3 + 1));
        // Broadcast and turned there and back: kernels with shapes of their own.
        const make = () => transpose(multiply(transpose(cells), reshape(row, [3, 1])));
        const flag = tensor([[1], [0], [1], [0], [1]], { backend });
        const uses: readonly (readonly [string, (x: Tensor) => Tensor, (x: number, i: number) => number])[] =
          [
            ["subtract", (x) => subtract(x, row), (x, i) => x - (i % 3 + 1)],
            ["subtract from", (x) => subtract(cells, x), (x, i) => i + 1 - x],
            ["select", (x) => select(flag, x, cells), (x, i) => Math.floor(i / 3) % 2 === 0 ? x : i + 1],
            ["unary", (x) => negate(x), (x) => -x],
            ["slice", (x) => slice(x, 0, 0, 5), (x) => x],
            ["concat", (x) => slice(concat([x, x], 1), 1, 0, 3), (x) => x],
            ["transpose", (x) => transpose(x), (_, i) => numbers[(i % 5) * 3 + Math.floor(i / 5)]!],
          ];
        for (const [what, use, expected] of uses) {
          const x = lazy(backend, [5, 3], "f32", make);
          const found = scope((): Synchronous<Tensor> => use(x));
          assert.deepEqual(await read(found), numbers.map(expected), what);
          dispose([x, found]);
        }
        dispose([row, cells, flag]);
      })));
}

Deno.test("lazy() of lazy tensors forgets what it read, copies what it is given, and checks what it makes", async () => {
  const backend = reference();
  const base = tensor([1, 2], { backend });
  const inner = lazy(backend, [2], "f32", () => multiply(base, 2));
  const outer = lazy(backend, [2], "f32", () => add(inner, 1));
  const same = lazy(backend, [2], "f32", () => base);
  const wrong = lazy(backend, [3], "f32", () => base);
  const root = keep([inner, outer, same, wrong]);
  assert.deepEqual([...await read(outer)], [3, 5]);
  assert.equal(memory(backend).live, 8, "the base alone");
  void scope(() => castTo(same, "f16")).storage.free();
  assert.throws(() => wrong.raw, /Expected a lazy f32\[3\] but f32\[2\] was made/);
  root.dispose();
  assert.deepEqual([...await read(base)], [1, 2]);
  base.storage.free();
  assert.equal(memory(backend).live, 0);
});

const METHODS: Readonly<Record<string, Method>> = {
  "lora on all layers, with biases": lora({ rank: 2, targets: "all-linear", bias: "all" }),
  "lora on a tied head and its embedding": lora({ rank: 2, targets: ["lm_head", "embed_tokens", "q_proj"] }),
  "(IA)³": ia3(),
  "full fine-tuning": fullFineTune(),
  "biases beside rows": compose({ biases: bitfit(), rows: trainableTokens({ tokens: [1, 3] }) }) as Method,
};

for (const backendName of BACKENDS) {
  for (const [name, method] of Object.entries(METHODS)) {
    Deno.test(`merge() gives the same leaves lazily: ${name} (${backendName})`, () =>
      withBackend(backendName, (backend) =>
        assertNoLeak(async () => {
          const model = await loadModel(LLAMA, { backend });
          const fresh = adapt(model, method, 1);
          // Away from where the method changes nothing.
          const drawn = scope(() =>
            mapTree(fresh.params, (leaf, path) =>
              leaf.dtype === "f32" ? normal(fold(key(7), path), leaf.shape, backend) : copyOf(leaf)) as never
          );
          const adapter = { ...fresh, params: drawn };
          for (const dtype of ["f32", "f16", "same"] as const) {
            const now = merge(model, adapter, { dtype });
            const live = memory(backend).live;
            const later = merge(model, adapter, { dtype, leaves: "lazy" });
            assert.equal(memory(backend).live, live, "nothing is made yet");
            assert.deepEqual(await bytesIn(later), await bytesIn(now));
            assert.equal(memory(backend).live, live, "and nothing stays");
            later.dispose();
            now.dispose();
          }
          dispose([fresh.params, drawn]);
          model.dispose();
        })));
  }
}

Deno.test("loadModel(), quantize() and saveModel() of lazy leaves hold one weight at a time", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    await withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const now = await loadModel(LLAMA, { backend });
        const small = quantize(now, { dtype: "nf4_double", embeddings: "f16" });
        await saveModel(`${folder}/now`, small);
        small.dispose();
        now.dispose();
        resetPeak();
        const later = await loadModel(LLAMA, { backend, leaves: "lazy" });
        const lazily = quantize(later, { dtype: "nf4_double", embeddings: "f16", leaves: "lazy" });
        assert.throws(() => later.dispose(), /others still use/);
        await saveModel(`${folder}/later`, lazily);
        // The largest weight as it is stored, twice in f32 while it is quantized, and once quantized.
        const largest = Math.max(...weightLeaves(later.weights).map(([, leaf]) => leaf.size));
        const { peak, live } = memory(backend);
        assert.equal(live, 0);
        assert.ok(peak <= 13 * largest && peak < weightBytes(later) / 3, `${peak} for ${largest} numbers`);
        lazily.dispose();
        later.dispose();
      }));
    for (const name of ["model.safetensors", "config.json"]) {
      assert.deepEqual(
        Deno.readFileSync(`${folder}/later/${name}`),
        Deno.readFileSync(`${folder}/now/${name}`),
      );
    }
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a lazy model runs forward as any other, and holds its weights from then on", () =>
  withBackend("wasm", (backend) =>
    assertNoLeak(async () => {
      const inputIds = [[1, 2, 3, 4]];
      const now = await loadModel(LLAMA, { backend });
      const expected = await logitsOf(now, { inputIds });
      now.dispose();
      const later = await loadModel(LLAMA, { backend, leaves: "lazy" });
      assert.deepEqual(await logitsOf(later, { inputIds }), expected);
      assert.equal(memory(backend).live, weightBytes(later));
      assert.deepEqual(await logitsOf(later, { inputIds }), expected);
      later.dispose();
    })));
