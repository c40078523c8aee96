/** cartridge(): the laws of methods, a golden case of PEFT (tests/oracles/cartridge.py) and what is refused. */
import assert from "node:assert/strict";
import { adapt, dispose, leaves, read } from "../../../core/mod.ts";
import { cartridge } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertClose } from "../../support/assert.ts";
import { badOptions } from "../../support/bad_options.ts";
import { goldenNumbers } from "../../support/golden.ts";
import { goldenBase, methodIsGolden } from "../../support/golden_method.ts";
import { just, prefixRows } from "../../support/law_counts.ts";
import { methodLaws } from "../../support/method_laws.ts";
import { tinyT5 } from "../../support/tiny_models.ts";

for (const frozen of [0, 2]) {
  methodLaws(`cartridge() with ${frozen} fixed rows`, {
    method: just(cartridge({ length: 5, frozen })),
    atInit: "other",
    merges: "no",
    counts: (model) => ({ trainable: prefixRows(model, 5 - frozen) }),
  });
}

const golden = cartridge({ length: 5, frozen: 2, tokens: [7, 3, 11, 30, 2, 19, 8] });

Deno.test("cartridge() equals PEFT's with fixed rows and padding", () => methodIsGolden("cartridge", golden));

Deno.test("cartridge() starts as the cache of its tokens, as PEFT's does", async () => {
  const model = await goldenBase(reference());
  const adapter = adapt(model, golden);
  const wanted = goldenNumbers("cartridge/cartridge.safetensors");
  const parts = leaves(adapter.params);
  assert.equal(parts.length, 8);
  for (const [path, t] of parts) assertClose(await read(t), wanted.get(`start.${path}`)!, 1e-5, path);
  dispose(adapter.params);
  model.dispose();
});

badOptions("cartridge()", [
  [() => cartridge({ length: 3, frozen: 3 }), /^Expected fewer fixed rows than 3 but found 3$/],
  [
    () => cartridge({ length: 3, tokens: [1, 2] }),
    /^Expected at least 3 tokens, one for each row, but found 2$/,
  ],
]);

Deno.test("cartridge() refuses to start from tokens where a model has two stacks", () => {
  const model = tinyT5(reference(), 1);
  const method = cartridge({ length: 2, tokens: [1, 2] });
  assert.throws(
    () => adapt(model, method),
    /^TypeError: Cannot start a cartridge from tokens on an encoder and a decoder/,
  );
  model.dispose();
});
