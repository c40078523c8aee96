/** llamaAdapter(): the laws of methods and golden cases. */
import assert from "node:assert/strict";
import {
  adapt,
  type Adapter,
  attention,
  type Counts,
  dispose,
  forward,
  type Gate,
  gated,
  graft,
  into,
  keep,
  key,
  leaves,
  mapTree,
  type Method,
  type Model,
  read,
  rootOf,
  scaled,
  scope,
  type Synchronous,
  type Tree,
} from "../../../core/mod.ts";
import { llamaAdapter } from "../../../methods/mod.ts";
import { barePass } from "../../../models/mod.ts";
import { full, multiply, zeros } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { assertGolden, onGolden } from "../../support/golden_method.ts";
import { added, just, WIDTH } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { noised } from "../../support/subject.ts";
import { tinyLlama, tinyT5 } from "../../support/tiny_models.ts";

const everyBlock = ({ spec }: Model, gates: "heads" | "block"): Partial<Counts> =>
  added(
    spec.attentions.filter(({ stack, role }) => role === "self" && stack === "decoder")
      .reduce((n, { heads }) => n + 3 * WIDTH + (gates === "heads" ? heads : 1), 0), // L (n d + h)
  );
methodLaws("llamaAdapter()", {
  method: just(llamaAdapter({ length: 3, layers: 2 })),
  atInit: "base",
  merges: "no",
  counts: (model) => everyBlock(model, "heads"),
});

methodLaws("llamaAdapter() with PEFT's gates, also in T5's decoder", {
  method: just(llamaAdapter({ length: 3, layers: 2, gates: "block", squash: "none" })),
  atInit: "base",
  merges: "no",
  counts: (model) => everyBlock(model, "block"),
  models: [
    (backend, key) => tinyLlama(backend, key),
    (backend, key) => tinyT5(backend, key),
  ],
  looksAhead: true, // an encoder reads the whole text
});

Deno.test("llamaAdapter() equals PEFT's layer with the paper's gates: logits, loss and gradients", () =>
  onGolden("llama_adapter", async (model, params) => {
    const method = llamaAdapter({ length: 4, layers: 2 });
    const shapes = (tree: Tree) => leaves(tree).map(([path, t]) => `${path} [${t.shape.join(", ")}]`).sort();
    const fresh = adapt(model, method).params;
    assert.deepEqual(shapes(fresh), shapes(params));
    dispose(fresh);
    await assertGolden("llama_adapter", model, { method, params });
    const short = tinyLlama(model.backend, 1);
    assert.throws(
      () => adapt(short, llamaAdapter({ layers: 3 })),
      /^RangeError: Cannot put llama-adapter in 3 blocks: the model has 2 that attend to their own text$/,
    );
    short.dispose();
  }));

Deno.test("llamaAdapter() times a number or a gate adds so much of what its prompt gives", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const plain = llamaAdapter({ length: 2, layers: 1, squash: "none" });
    const fresh = keep(plain.init({ model, key: 1 }));
    const params = keep(scope((): Synchronous<Tree> => noised(fresh.tree, key(2))));
    const by = (n: number): Gate => ({
      name: "by",
      config: {},
      init: () => ({}),
      value: (_, x) => full([1, 1, 1], n, x.backend),
    });
    const run = async (adapter: Adapter): Promise<readonly number[]> => {
      const { logits } = forward(graft(model, adapter), { inputIds: [[1, 2, 3]] });
      const numbers = [...await read(logits)];
      logits.storage.free();
      return numbers;
    };
    const tree = params.tree;
    const halved = keep(
      scope((): Synchronous<Tree> =>
        mapTree(tree, (t, path) => path.endsWith(".gate") ? multiply(t, 0.5) : multiply(t, 1)) as Synchronous<
          Tree
        >
      ),
    );
    const half = await run({ method: plain, params: halved.tree });
    assertClose(await run({ method: scaled(plain, 0.5), params: tree }), half, 1e-6);
    const gatedBy = (n: number): Adapter => ({
      method: gated(plain, by(n)) as unknown as Method,
      params: { of: tree, gates: { model: { layers: { 1: { self_attn: { prefix: {} } } } } } },
    });
    assertClose(await run(gatedBy(0.5)), half, 1e-6);
    const base = forward(model, { inputIds: [[1, 2, 3]] }).logits;
    assertClose(await run({ method: scaled(plain, 0), params: tree }), [...await read(base)], 1e-6);
    assertClose(await run(gatedBy(0)), [...await read(base)], 1e-6);
    base.storage.free();
    for (const root of [halved, params, fresh]) root.dispose();
    model.dispose();
  }));

Deno.test("llamaAdapter() says so where a model's own code makes no keys of other states", () =>
  assertNoLeak(() => {
    const model = tinyLlama(reference(), 1);
    const method = llamaAdapter({ length: 2, layers: 2 });
    const params = keep(method.init({ model, key: 1 }));
    const { weights } = graft(model, { method, params: params.tree });
    const site = into(rootOf(weights), "model", "layers", 0, "self_attn");
    scope(() => {
      const [x, q] = [zeros([1, 3, WIDTH], model.backend), zeros([1, 3, 4, 4], model.backend)];
      assert.throws(
        () => attention(barePass(model, {}), site, { x, q, k: q, v: q }, { causal: true }),
        /^TypeError: Cannot make keys and values of a prompt/,
      );
      return {};
    });
    params.dispose();
    model.dispose();
  }));
