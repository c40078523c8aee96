/** No adapter larger than its model is written by surprise: what is said, what is refused, and --force. */
import assert from "node:assert/strict";
import { adapt, freshModel, lora, quantize, reference, smallConfig } from "../../mod.ts";
import { checkAdapterSize } from "../../cli/adapter_size.ts";
import { hearStreams } from "../support/standard_streams.ts";

Deno.test("checkAdapterSize() is silent, says the sizes, and refuses, by the adapter's share of the merged model", () => {
  const model = freshModel({ ...smallConfig("llama"), torch_dtype: "float32" }, {
    backend: reference(),
    key: 0,
  });
  const said = (rank: number, force = false, on = model): string => {
    const adapter = adapt(on, lora({ rank, targets: "all-linear" }));
    const lines: string[] = [];
    using _ = hearStreams(undefined, (chunk) => lines.push(chunk));
    checkAdapterSize(on, adapter, { force, change: "--rank" });
    return lines.join("");
  };
  assert.equal(said(1), "");
  const sizes =
    /^The adapter takes [\d.]+ [kM]?B in f32, the model with it merged in [\d.]+ [kM]?B; --rank makes it smaller\n$/;
  const large = [2, 4, 8, 16, 32, 64].find((rank) => {
    try {
      return said(rank) !== "";
    } catch {
      return false;
    }
  });
  assert.ok(large !== undefined);
  assert.match(said(large), sizes);
  assert.throws(
    () => said(512),
    /in f32, .*: make it smaller with --rank, use graft merge, or write it with --force$/,
  );
  assert.match(said(512, true), sizes);
  // Four bits are merged in f16, half of f32.
  assert.throws(
    () => said(large, false, quantize(model, { dtype: "nf4", embeddings: "f16" })),
    /make it smaller/,
  );
});
