/** shortRateOf(): what notebooks and `graft compare` train a small model with. */
import assert from "node:assert/strict";
import { knownMethods } from "../../io/records/known_methods.ts";
import { shortRateOf } from "../../tuning/short_rate.ts";

Deno.test("shortRateOf() is a method's own, or ten times its rate, at most 0.05", () => {
  const rate = (name: string): number => shortRateOf(knownMethods().get(name));
  assert.equal(rate("dora"), 5e-3);
  assert.equal(rate("prompt-tuning"), 0.05); // 0.3 would be ten times
  assert.equal(rate("layer-norm-tune"), 1e-2);
  assert.equal(rate("full-fine-tune"), 2.5e-3);
});
