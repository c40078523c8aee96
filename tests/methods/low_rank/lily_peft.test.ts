/** Lily in PEFT folders: what PEFT would compute otherwise is refused both ways. */
import assert from "node:assert/strict";
import { adapt, dispose } from "../../../core/mod.ts";
import { openSafetensors } from "../../../formats/safetensors.ts";
import { writeSafetensors } from "../../../formats/safetensors_write.ts";
import { loadAdapter } from "../../../io/load_adapter.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { lily, type LilyOptions } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { assertNoLeak } from "../../support/assert.ts";
import { inFolder } from "../../support/folder.ts";
import { tinyLlama } from "../../support/tiny_models.ts";

Deno.test("saveAdapter() refuses for PEFT a lily that averages over texts, or shares by other names than the targets", () =>
  assertNoLeak(() =>
    inFolder(async (folder) => {
      const model = tinyLlama(reference(), 1);
      const refused: readonly (readonly [LilyOptions, RegExp])[] = [
        [{}, /^RangeError: Cannot save lily with the mean of each text .*; use mean: "batch"$/],
        // Keys and values have one shape.
        [
          { mean: "batch", sharing: "all", targets: ["k_proj", "v_proj"] },
          /^RangeError: Cannot save this lily .* share by the names \["k_proj","v_proj"\], which are not those/,
        ],
      ];
      for (const [options, message] of refused) {
        const adapter = adapt(model, lily({ rank: 2, ...options }));
        await assert.rejects(saveAdapter(folder, adapter, model, { format: "peft" }), message);
        dispose(adapter.params);
      }
      model.dispose();
    })
  ));

Deno.test("loadAdapter() refuses a lily folder whose layers do not share what they have to", () =>
  assertNoLeak(() =>
    inFolder(async (folder) => {
      const model = tinyLlama(reference(), 1);
      const adapter = adapt(model, lily({ rank: 2, mean: "batch", initialization: "none" }));
      await saveAdapter(folder, adapter, model, { format: "peft" });
      const path = `${folder}/adapter_model.safetensors`;
      const file = openSafetensors(path);
      const tensors = [...file.tensors.values()].map((t) => {
        const bytes = new Uint8Array(t.read());
        if (t.name.endsWith("layers.1.self_attn.q_proj.lily_B.weight")) bytes[3]! ^= 1;
        return { ...t, byteLength: bytes.length, read: () => bytes };
      });
      file.close();
      await writeSafetensors(path, tensors);
      await assert.rejects(
        loadAdapter(folder, model),
        /layers\.1\.self_attn\.q_proj\.lily_B\.weight" differs from ".*layers\.0\.self_attn\.q_proj\.lily_B\.weight"/,
      );
      dispose(adapter.params);
      model.dispose();
    })
  ));
