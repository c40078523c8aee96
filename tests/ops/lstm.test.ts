/** lstm() equals torch.nn.LSTM (tests/oracles/soft_prompts.py). 1e-5 of the largest value: f32 through sigmoids and tanh. */
import assert from "node:assert/strict";
import {
  dispose,
  keep,
  key,
  leaves,
  nest,
  read,
  scope,
  type Synchronous,
  type Tensor,
  type Tree,
  valueAndGrad,
} from "../../core/mod.ts";
import { lstm, type LstmLayer, multiply, normal, sum } from "../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { ALL_BACKENDS, withBackend } from "../support/backends.ts";
import { goldenNumbers, goldenTensors } from "../support/golden.ts";

const layersOf = (tree: Tree): readonly LstmLayer[] =>
  Object.keys(tree).sort().map((name) => tree[name] as unknown as LstmLayer);

for (const name of ALL_BACKENDS) {
  for (const which of ["one", "both", "deep"]) {
    Deno.test(`lstm() equals torch.nn.LSTM, ${which} (${name})`, () =>
      withBackend(name, (backend) =>
        assertNoLeak(async () => {
          const expected = goldenNumbers("soft_prompts/lstm.safetensors");
          const root = keep(scope((): Synchronous<Readonly<Record<string, Tensor>>> =>
            Object.fromEntries([...goldenTensors("soft_prompts/lstm.safetensors", backend)].filter(([n]) =>
              n.startsWith(`${which}.`)
            ))
          ));
          const at = (part: string): Tensor =>
            root.tree[`${which}.${part}`]!;
          const prefix = `${which}.param.`;
          const layers = nest(
            Object.entries(root.tree).filter(([n]) => n.startsWith(prefix)).map(([n, t]) =>
              [n.slice(prefix.length), t] as const
            ),
          ) as Tree;
          const y = scope((): Synchronous<Tensor> => lstm(layersOf(layers), at("x")));
          assertClose(await read(y), expected.get(`${which}.y`)!, 1e-5, "y");
          y.storage.free();
          const params: Tree = { x: at("x"), layers };
          const { value, gradients } = valueAndGrad((p: Tree) =>
            sum(multiply(lstm(layersOf(p["layers"] as Tree), p["x"] as Tensor), at("weight")))
          )(params);
          value.storage.free();
          for (const [path, g] of leaves(gradients)) {
            const wanted = expected.get(`${which}.grad.${path.replace(/^layers\./, "")}`)!;
            assertClose(await read(g), wanted, 1e-5, path);
          }
          dispose(gradients); // the two biases of a direction share theirs
          root.dispose();
        })));
  }
}

Deno.test("lstm() drops between its layers, and not after the last", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const run = async (layers: number, p: number): Promise<Float32Array> => {
        const y = scope((): Synchronous<Tensor> => {
          const gates = (inner: number, seed: number) => ({
            weight: normal(key(seed), [12, inner], backend),
            bias: normal(key(seed + 1), [12], backend),
          });
          const all = Array.from({ length: layers }, (_, i) => ({
            forward: { input: gates(i === 0 ? 4 : 3, 10 * i), hidden: gates(3, 10 * i + 5) },
          }));
          return lstm(all, normal(key(99), [1, 5, 4], backend), { p, key: key(7) });
        });
        const numbers = await read(y);
        y.storage.free();
        return numbers as Float32Array;
      };
      assert.deepEqual(await run(1, 0.5), await run(1, 0));
      assert.notDeepEqual(await run(2, 0.5), await run(2, 0));
    })));

Deno.test("lstm() refuses gates of other shapes", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(() =>
      scope((): number => {
        const gates = (inner: number) => ({
          weight: normal(key(1), [12, inner], backend),
          bias: normal(key(2), [12], backend),
        });
        const layer = { forward: { input: gates(5), hidden: gates(3) } };
        assert.throws(
          () => lstm([layer], normal(key(3), [1, 2, 4], backend)),
          /input gates of shape \[12, 4\]/,
        );
        return 0;
      })
    )));
