/** Records of methods: saving then loading is the identity for every combinator, however deep, and every option stays its part's own. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Adapter,
  at,
  bytesOf,
  compose,
  dispose,
  fold,
  forward,
  gated,
  graft,
  key,
  layers,
  leaves,
  mapTree,
  type Method,
  type MethodDefinition,
  type Model,
  perRow,
  read,
  scaled,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
} from "../../../core/mod.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { recordOf } from "../../../io/records/method_record.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { DEFINITIONS } from "../../../methods/index.ts";
import {
  averaged,
  bySpans,
  centralGate,
  houlsby,
  ia3,
  keyValueGate,
  lokr,
  lora,
  loreft,
  parallel,
  parallelAdapter,
  pfeiffer,
  prefixTuning,
  routed,
  sentenceGate,
  sparseAdapter,
} from "../../../methods/mod.ts";
import { add, less, normal, uniform } from "../../../ops/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { CREATED, created } from "../../support/method_options.ts";
import { tinyGpt2, tinyLlama, tinyT5 } from "../../support/tiny_models.ts";

const BATCH = { inputIds: [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]] };

/** An adapter whose every float has moved from its start. */
function moved(method: Method, model: Model): Adapter {
  const params = scope((): Synchronous<Tree> =>
    mapTree(
      method.init({ model, key: 3 }),
      (leaf, path) =>
        leaf.dtype === "f32" && !path.split(".").includes("frozen")
          ? add(leaf, normal(fold(key(9), path), leaf.shape, leaf.backend, 0.1))
          : leaf,
    ) as Synchronous<Tree>
  );
  return { name: "default", method, params };
}

async function logitsOf(model: Model, adapter: Adapter, rows?: readonly string[]): Promise<Float32Array> {
  const batch = rows === undefined ? BATCH : { ...BATCH, rows };
  const t = scope((): Synchronous<Tensor> => forward(graft(model, adapter), batch).logits);
  const numbers = await read(t);
  t.storage.free();
  return numbers as Float32Array;
}

const numbersOf = async (params: Tree) =>
  (await Promise.all(leaves(params).map(async ([path, t]) => [path, t.shape, await bytesOf(t)] as const)))
    .sort(([a], [b]) => a < b ? -1 : 1);

/** What a record says of a method: names, options and parts. */
const described = ({ name, components = {} }: Method): unknown => ({
  name,
  components: Object.fromEntries(Object.entries(components).map(([part, inner]) => [part, described(inner)])),
});

/** Saves, loads, and compares parameters, logits and the method's make-up; then saves again, which gives the same record. */
async function comesBack(model: Model, method: Method, rows?: readonly string[]): Promise<void> {
  const adapter = moved(method, model);
  await inFolder(async (folder) => {
    await saveAdapter(folder, adapter, model, { format: "graft" });
    const record = Deno.readTextFileSync(`${folder}/adapter_config.json`);
    const again = await loadAdapter(folder, model);
    assert.deepEqual(await numbersOf(again.params), await numbersOf(adapter.params), record);
    assert.deepEqual(await logitsOf(model, again, rows), await logitsOf(model, adapter, rows), record);
    assert.deepEqual(described(again.method), described(method));
    await saveAdapter(folder, again, model, { format: "graft" });
    assert.equal(Deno.readTextFileSync(`${folder}/adapter_config.json`), record);
    dispose(again.params);
  });
  dispose(adapter.params);
}

const rank2 = lora({ rank: 2 }) as Method;
const bottleneck = houlsby({ reduction: 4 }) as Method;

/** Compositions of which version 1 lost a part, an option or everything. */
const LOST: Readonly<Record<string, Method>> = {
  "a scaled scaled method": scaled(scaled(rank2, 0.5), 0.25),
  "scaled, of a method with an option of its name": scaled(lokr({ rank: 2, factor: 4 }) as Method, 0.5),
  "scaled, of a composition with a part called factor": scaled(compose({ factor: rank2 }) as Method, 2),
  "gated, of a composition with a part called gate": gated(
    compose({ gate: bottleneck, method: rank2 }) as Method,
    sentenceGate(),
  ) as Method,
  "gated, of a gated method": gated(gated(bottleneck, sentenceGate()) as Method, sentenceGate()) as Method,
  "a method at some layers": at(layers(1), rank2),
  "the hybrid of docs/hybrids.md": compose({
    coarse: at(layers(0, 1), ia3()),
    matrices: at(layers(1), rank2),
    beside: at(layers(1), gated(parallelAdapter({ reduction: 4 }), sentenceGate())),
    states: at(layers(1), scaled(loreft({ rank: 2, first: 1, last: 1 }) as Method, 0.5)),
  }) as Method,
  "at, of a selector of every kind": compose({
    named: at({ all: [{ names: ["q_proj"] }, { not: { layers: [0, 1] } }] }, rank2),
    matched: at(
      { any: [{ matching: ".*\\.0\\..*v_proj" }, { kinds: ["head"] }] },
      lora({ rank: 1 }) as Method,
    ),
  }) as Method,
  "a central gate": centralGate({ low: rank2, wide: pfeiffer({ reduction: 4 }) as Method }),
};

for (const [what, method] of Object.entries(LOST)) {
  Deno.test(`saved then loaded, ${what} is the same`, () =>
    assertNoLeak(async () => {
      const model = tinyLlama(reference(), 1);
      await comesBack(model, method);
      model.dispose();
    }));
}

Deno.test("saved then loaded, a sparse adapter has its host and its masks", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const fresh = bottleneck.init({ model, key: 0 });
    const mask = scope((): Synchronous<Tree> =>
      mapTree(fresh, (t, path) => less(uniform(fold(key(5), path), t.shape, t.backend), 0.5)) as Synchronous<
        Tree
      >
    );
    await comesBack(model, sparseAdapter({ host: bottleneck, mask }));
    dispose([fresh, mask]);
    model.dispose();
  }));

/** Methods that any combinator takes: they add to hidden states. */
const leaf = fc.oneof(
  fc.integer({ min: 2, max: 6 }).map((reduction) => houlsby({ reduction }) as Method),
  fc.integer({ min: 2, max: 6 }).map((reduction) => pfeiffer({ reduction }) as Method),
);
/** Methods that some do not take. */
const other = fc.oneof(
  fc.integer({ min: 1, max: 3 }).map((rank) => lora({ rank }) as Method),
  fc.constant(lokr({ rank: 2, factor: 4 }) as Method),
  fc.constant(ia3() as Method),
);
const names = fc.uniqueArray(fc.constantFrom("of", "gate", "factor", "method", "parts", "config", "a"), {
  minLength: 2,
  maxLength: 3,
});

/** Compositions of hidden-state methods by every combinator, to a depth. */
const composition = fc.letrec<{ readonly tree: Method }>((tie) => {
  const several = fc.tuple(names, fc.array(tie("tree"), { minLength: 3, maxLength: 3 }))
    .map(([names, methods]) => Object.fromEntries(names.map((name, i) => [name, methods[i]!])));
  return {
    tree: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      leaf,
      several.map((parts) => compose(parts) as Method),
      several.map((parts) => parallel(parts) as Method),
      fc.tuple(tie("tree"), fc.double({ min: -2, max: 2, noNaN: true })).map(([m, f]) => scaled(m, f)),
      tie("tree").map((m) => gated(m, sentenceGate()) as Method),
      tie("tree").map((m) => at(layers(0, 2), m)),
      fc.tuple(leaf, leaf).map(([a, b]) => averaged({ a, b }, { weights: [0.25, 0.75] }) as Method),
      fc.tuple(leaf, leaf).map(([a, b]) => bySpans({ a, b }, [2, 3]) as Method),
      fc.tuple(leaf, leaf).map(([a, b]) => routed({ a, b: compose({ b }) as Method }, { topK: 1 }) as Method),
      fc.tuple(leaf, other).map(([a, b]) => compose({ a, b }) as Method),
    ),
  };
}).tree;

Deno.test("saved then loaded, a random composition is the same", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    let tried = 0;
    await fc.assert(
      fc.asyncProperty(composition, async (method) => {
        const fits = ((): boolean => {
          try {
            return scope(() => (method.edits(method.init({ model, key: 0 }), model.spec), true));
          } catch (error) {
            // What a combinator does not take it refuses when it makes edits.
            if (error instanceof TypeError || error instanceof RangeError) return false;
            throw error;
          }
        })();
        if (!fits) return;
        tried++;
        await comesBack(model, method);
      }),
      { numRuns: 60 },
    );
    assert.ok(tried > 20, `${tried} of 60 were compositions that the combinators take`);
    model.dispose();
  }));

Deno.test("saved then loaded, adapters by rows are the same, under names that records use", () =>
  assertNoLeak(async () => {
    const model = tinyLlama(reference(), 1);
    const prefix = gated(prefixTuning({ length: 2, network: "none" }) as Method, keyValueGate()) as Method;
    const rows = perRow({ of: moved(prefix, model), method: moved(scaled(rank2, 0.5), model) });
    await inFolder(async (folder) => {
      await saveAdapter(folder, rows, model, { format: "graft" });
      const again = await loadAdapter(folder, model);
      assert.deepEqual(
        await logitsOf(model, again, ["method", "of"]),
        await logitsOf(model, rows, ["method", "of"]),
      );
      assert.deepEqual(described(again.method), described(rows.method));
      dispose(again.params);
    });
    dispose(rows.params);
    model.dispose();
  }));

Deno.test("the record of a method has every option that has a default, so that another default later changes no file", () => {
  const models = [
    tinyLlama(reference(), 1),
    tinyGpt2(reference(), 1),
    tinyT5(reference(), 1, { headDim: 4 }),
  ];
  const missing: string[] = [];
  for (const definition of CREATED) {
    const { name } = definition;
    const { spec } = models.find((model) => takes(definition, model))!;
    const { config, method } = recordOf(created(definition, spec), spec);
    // Some factories make methods of other definitions.
    const { options } = DEFINITIONS.find(({ name }) => name === method)!;
    missing.push(
      ...Object.entries(options).filter(([option, known]) =>
        known.default !== undefined && !(option in config)
      )
        .map(([option]) => `${name}: ${option}`),
    );
  }
  assert.deepEqual(missing, []);
  for (const model of models) model.dispose();
});

/** Whether a method can be made for a model: those of fused projections or of cross-attention want their own. */
function takes(definition: MethodDefinition, model: Model): boolean {
  try {
    dispose(created(definition, model.spec).init({ model, key: 0 }));
    return true;
  } catch {
    return false;
  }
}
