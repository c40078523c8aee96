/**
 * The reparametrised methods against PEFT, LyCORIS and transcriptions (tests/oracles/reparam.py): logits, loss, gradients,
 * the merged model and three AdamW steps, on each backend.
 */
import { type Method, trainable } from "../../core/mod.ts";
import {
  boft,
  c3a,
  fourierft,
  hra,
  krona,
  loha,
  lokr,
  miss,
  oft,
  pvera,
  randlora,
  uniLora,
  vbLora,
  vera,
} from "../../methods/mod.ts";
import { goldenCase } from "../support/golden_case.ts";

const targets = ["q_proj", "v_proj", "down_proj"];

const CASES: Readonly<Record<string, Method>> = {
  loha: loha({ rank: 3, alpha: 5, targets }),
  loha_patterns: loha({
    rank: 2,
    rankPattern: { down_proj: 4 },
    alphaPattern: { "layers.1.self_attn.v_proj": 7 },
    targets,
  }),
  loha_lycoris: loha({ rank: 3, alpha: 1, targets }),
  lokr: lokr({ rank: 2, alpha: 3, targets }),
  lokr_full: lokr({ rank: 8, alpha: 4, targets }),
  lokr_edge: lokr({ rank: 3, alpha: 3, targets }),
  lokr_both: lokr({ rank: 1, alpha: 3, factor: 5, split: "both", targets }),
  lokr_lycoris: lokr({
    rank: 2,
    alpha: 1,
    factor: 4,
    order: "smallerFirst",
    scaling: "unitWhenFull",
    targets,
  }),
  lokr_lycoris_full: lokr({ rank: 8, alpha: 3, scaling: "unitWhenFull", targets }),
  krona: krona({ scale: 1.5, firstFactor: [3, 2] }),
  vera: vera({ rank: 5, projectionSeed: 99, targets }), // the file's A and B, not those of the seed
  "vera regenerated": vera({ rank: 5, projectionSeed: 3, projections: "regenerated", targets }),
  randlora: randlora({ rank: 5, alpha: 3, projectionSeed: 99, targets }),
  "randlora regenerated": randlora({
    rank: 5,
    alpha: 3,
    projectionSeed: 3,
    projections: "regenerated",
    targets,
  }),
  randlora_sparse: randlora({ rank: 11, alpha: 2, bases: "sparse", targets }),
  "randlora_sparse regenerated": randlora({
    rank: 11,
    alpha: 2,
    bases: "sparse",
    projections: "regenerated",
    targets,
  }),
  vb_lora: vbLora({ rank: 2, vectors: 3, length: 4, topK: 3, targets }),
  uni_lora: uniLora({ rank: 2, dimension: 13, assignment: "balanced", projectionSeed: 7, targets }),
  uni_lora_uniform: uniLora({ rank: 3, dimension: 10, projectionSeed: 5, targets }),
  pvera: pvera({ rank: 5, projectionSeed: 99, targets }),
  "pvera regenerated": pvera({ rank: 5, projectionSeed: 3, projections: "regenerated", targets }),
  hra: hra({ rank: 4, targets }),
  hra_exact: hra({ rank: 3, orthogonality: "exact", targets }),
  miss: miss({ rank: 5, targets }),
  miss_mini: miss({ rank: 4, form: "mini", miniRank: 6, targets }),
  miss_bat: miss({ rank: 4, form: "bat", targets }),
  oft: oft({ blocks: { size: 4 }, targets }),
  oft_terms: oft({ blocks: { size: 4 }, cayley: { terms: 7 }, targets }),
  oft_three_terms: oft({ blocks: { size: 4 }, cayley: { terms: 3 }, targets }),
  oft_two_terms: oft({ blocks: { size: 4 }, cayley: { terms: 2 }, targets }),
  oft_exact: oft({ blocks: { count: 4 }, cayley: "exact", sharing: "shared", targets }),
  oft_constrained: oft({ blocks: { size: 4 }, constraint: 0.3, targets }),
  oft_nearest: oft({ blocks: { size: 5 }, uneven: "nearest", targets }),
  boft: boft({ blocks: { size: 4 }, targets }),
  boft_two: boft({ blocks: { size: 2 }, factors: 2, targets }),
  boft_three: boft({ blocks: { count: 4 }, factors: 3, targets: ["q_proj", "v_proj", "o_proj"] }),
  fourierft: fourierft({ frequencies: 13, scale: 40, targets }),
  fourierft_many: fourierft({ frequencies: 200, positionSeed: 5, scale: 9, targets }),
  c3a: c3a({ block: 4, blockPattern: { q_proj: 12 }, targets }), // 24 x 24, 12 x 24, 24 x 28
};

for (const [name, method] of Object.entries(CASES)) {
  goldenCase(name, {
    file: name.split(" ")[0]!,
    adapter: (params) => ({ method, params: name.endsWith("regenerated") ? trainable(params) : params }),
  });
}
