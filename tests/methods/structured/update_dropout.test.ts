/** What dropout of rows and of layers leaves out of an update, and how often. */
import assert from "node:assert/strict";
import { dense, key, scope, tensor } from "../../../core/mod.ts";
import { addUpdate } from "../../../methods/structured/update_dropout.ts";
import { identity } from "../../../ops/mod.ts";
import { assertClose, assertNoLeak } from "../../support/assert.ts";
import { withBackend } from "../../support/backends.ts";
import { numbersOf } from "../../support/on_codes.ts";

Deno.test("addUpdate() leaves out rows and layers as often as it says, and scales what it keeps", () =>
  withBackend("reference", (backend) =>
    assertNoLeak(async () => {
      const n = 400;
      const map = dense(scope(() => identity(n, backend)));
      const x = tensor(new Float32Array(n).fill(1), { backend, shape: [1, n] });
      const pass = { phase: "train", ids: x, mask: undefined, signal: () => x, bias: undefined } as const;
      const run = (options: Parameters<typeof addUpdate>[1], train: boolean, seed: number) => {
        const change = addUpdate(map, options);
        assert.equal(change.form, "delta");
        if (change.form !== "delta") throw new Error();
        return numbersOf(() =>
          change.delta.run({
            ...pass,
            train,
            key: key(seed),
            x,
            y: x,
            weight: () => map.weight(),
            apply: map.apply,
          })
        );
      };
      const rows = await run({ rowDropout: 0.25 }, true, 1);
      const kept = rows.filter((y) => y === 1).length;
      assert.equal(rows.filter((y) => y === 0).length, n - kept);
      assert.ok(Math.abs(kept / n - 0.75) < 0.1, `${kept} of ${n}`); // four deviations of 0.022
      const scaled = await run({ rowDropout: 0.25, rowDropoutScaling: "kept" }, true, 1);
      assertClose(scaled, rows.map((y) => y * n / kept), 1e-6);
      assert.deepEqual(await run({ rowDropout: 0.25 }, true, 1), rows);
      assert.notDeepEqual(await run({ rowDropout: 0.25 }, true, 2), rows);
      assert.deepEqual(await run({ rowDropout: 0.25, moduleDropout: 0.5 }, false, 1), rows.map(() => 1));
      let layers = 0;
      for (let seed = 0; seed < 200; seed++) {
        const y = await run({ moduleDropout: 0.3 }, true, seed);
        assert.ok(y.every((v) => v === y[0]));
        layers += y[0]!;
      }
      assert.ok(Math.abs(layers / 200 - 0.7) < 0.13, `${layers} of 200`); // four deviations of 0.032
      assert.equal(addUpdate(map, {}).form, "add");
      x.storage.free();
      for (const t of map.tensors) t.storage.free();
    })));
