/** The survey's claims: those that are counted come out as the papers have them; some of the others run, with as few steps as there can be. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Finding } from "../claims/claim.ts";
import { found } from "../claims/intrinsic_dimension.ts";
import { claims } from "../claims/main.ts";
import { openLab } from "../claims/lab.ts";

const FOLDER = fileURLToPath(new URL("../claims/", import.meta.url));

Deno.test("every file of a claim is one of the command's", async () => {
  const files = readdirSync(FOLDER).map((file) => file.replace(/\.ts$/, ""));
  const shared = ["claim", "lab", "main", "gpt3"];
  const names = (await claims()).map(([name]) => name);
  assert.deepEqual([...names].sort(), files.filter((file) => !shared.includes(file)).sort());
  await assert.rejects(claims(["moon"]), /There is no claim "moon": there are gpt3_parameters,/);
});

/** What counting alone decides: our figure and the verdict. */
const COUNTED: Readonly<Record<string, readonly [ours: RegExp, verdict: Finding["verdict"]]>> = {
  gpt3_parameters: [/^37,748,736 of 174,604,259,328: 4625 times fewer/, "holds"],
  gpt3_compute: [/1\.50 times less$/, "does not hold"],
  lora_of_a_large_matrix: [/^9,600,000 of 256,000,000$/, "holds"],
  ia3_and_lora: [/^540,672 \(0\.019 %\)/, "holds"],
  ia3_overhead: [/^it merges: 0 multiply-adds/, "does not hold"],
  bitfit_share: [/^271,360 of 332,529,664: 0\.0816 %$/, "holds"],
};

/** Claims that train: one step each here, so only that they run, and what they say. */
const TRAINED = ["rslora_gradients", "krona_and_compacter", "prompt_lengths", "far_time"];

Deno.test("claims that are counted come out as the papers have them, and those that train run", async () => {
  const lab = await openLab({ steps: 1, seeds: 1 });
  try {
    for (const [name, claim] of await claims(Object.keys(COUNTED))) {
      const { ours, verdict } = await claim.check(lab);
      const [expected, so] = COUNTED[name]!;
      assert.match(ours, expected, name);
      assert.equal(verdict, so, name);
    }
    for (const [name, claim] of await claims(TRAINED)) {
      const { article, ours, verdict } = await claim.check(lab);
      assert.ok(article !== "" && !/NaN|undefined|Infinity/.test(ours), `${name}: ${ours}`);
      assert.ok(["holds", "does not hold", "not testable here"].includes(verdict), name);
      if (name === "rslora_gradients") assert.equal(verdict, "holds", ours); // it does not depend on training
    }
  } finally {
    lab.close();
  }
});

Deno.test("the claim of dimensions reads what deno task intrinsic-dimension writes", () => {
  const results = [{ model: "small", parameters: 10, dimension: 64 }, {
    model: "large",
    parameters: 20,
    dimension: 16,
  }];
  assert.equal(found({ results }).ours, "small: 64, large: 16");
  assert.equal(found({ results }).verdict, "holds");
  assert.equal(found({ results: [...results].reverse() }).verdict, "does not hold");
  assert.equal(found({ results: results.slice(1) }).verdict, "not testable here");
});
