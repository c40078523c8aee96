/**
 * RoAd, DeLoRA, HiRA, SHiRA, GraLoRA and WaveFT against PEFT (tests/oracles/peft_updates.py): logits, loss, gradients, the
 * merged model and three AdamW steps, on each backend.
 */
import assert from "node:assert/strict";
import { dispose, leaves, type Method, read } from "../../core/mod.ts";
import { delora, gralora, hira, road, shira, waveft } from "../../methods/mod.ts";
import { assertClose, assertNoLeak } from "../support/assert.ts";
import { withBackend } from "../support/backends.ts";
import { goldenCase } from "../support/golden_case.ts";
import { goldenBase, goldenParams } from "../support/golden_method.ts";

const targets = ["q_proj", "v_proj", "down_proj"];

const CASES: Readonly<Record<string, Method>> = {
  road: road({ group: 4, targets }),
  road_2: road({ variant: 2, targets }),
  road_4: road({ variant: 4, group: 6, targets }),
  delora: delora({ rank: 3, lambda: 5, targets }),
  delora_patterns: delora({
    rank: 4,
    rankPattern: { down_proj: 5 },
    lambdaPattern: { "layers.1.self_attn.v_proj": 2 },
    targets,
  }),
  hira: hira({ rank: 3, targets }),
  shira: shira({ rank: 2, positionSeed: 5, targets }),
  shira_unseeded: shira({ rank: 3, targets }),
  gralora: gralora({ rank: 6, alpha: 5, targets }),
  gralora_hybrid: gralora({ rank: 4, blocks: 4, hybridRank: 3, alpha: 9, targets }),
  waveft: waveft({ frequencies: 13, scale: 12, targets }),
  waveft_db2: waveft({ frequencies: 60, wavelet: "db2", positionSeed: 5, targets }),
  waveft_db3: waveft({ frequencies: 60, wavelet: "db3", targets }),
  waveft_coif1: waveft({ frequencies: 60, wavelet: "coif1", targets }),
  waveft_none: waveft({ frequencies: 30, wavelet: "none", targets }),
  waveft_proportional: waveft({ frequencies: 23, allocation: "proportional", targets }),
};

for (const [name, method] of Object.entries(CASES)) {
  goldenCase(name, { adapter: (params) => ({ method, params }) });
}

for (const [name, method] of Object.entries(CASES).filter(([name]) => /^(shira|delora)/.test(name))) {
  Deno.test(`what a fresh ${name} keeps of its start is what PEFT keeps`, () =>
    withBackend("wasm", (backend) =>
      assertNoLeak(async () => {
        const model = await goldenBase(backend);
        const [golden, fresh] = [goldenParams(name, backend), method.init({ model, key: 0 })];
        const theirs = new Map(leaves(golden.tree));
        const frozen = leaves(fresh).filter(([path]) => path.includes(".frozen."));
        assert.equal(frozen.length, 6);
        for (const [path, t] of frozen) assertClose(await read(t), await read(theirs.get(path)!), 1e-6, path);
        dispose(fresh);
        golden.dispose();
        model.dispose();
      })));
}
