/** kasa(): the laws of methods, golden cases of PEFT (tests/oracles/kasa.py) and what is refused. */
import { kasa } from "../../../methods/mod.ts";
import { misfits } from "../../support/bad_options.ts";
import { goldenMethods, goldenStarts } from "../../support/golden_case.ts";
import { TARGETS } from "../../support/golden_method.ts";
import { ALL, each, laws } from "../../support/linear_laws.ts";

laws("kasa()", kasa({ ...ALL, rank: 3, alpha: 5, dropout: 0.2 }), each(ALL, (i, o) => 3 * (i + o + 1)), {
  atInit: "other",
  decomposes: true,
});
laws(
  "kasa() with a rank for each layer",
  kasa({ rank: 2, rankPattern: { q_proj: 4 }, gamma: 0 }),
  () => ({}) as never,
  {
    atInit: "other",
    decomposes: true,
  },
);

const CASES = { kasa: kasa({ rank: 3, alpha: 5, targets: TARGETS, beta: 0.01, gamma: 0.02 }) };
goldenMethods(CASES, { fresh: (backend) => backend !== "gpu" });
goldenStarts(CASES, 1e-5); // PEFT rounds the truncated base to f32

misfits("kasa()", [
  [() => kasa({ beta: -1 }), /^Expected kasa's option "beta" to be a number of at least 0 but found -1$/],
  [() => kasa({ rank: 16, targets: ["q_proj"] }), /^Cannot take 16 singular values from ".*q_proj" \[/],
]);
