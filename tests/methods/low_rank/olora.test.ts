/** olora(): golden cases and what is refused. */
import assert from "node:assert/strict";
import { memory } from "../../../core/mod.ts";
import { olora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { goldenBase } from "../../support/golden_method.ts";
import { GOLDEN_LORA, leavesFunction, preparedLives } from "../../support/prepared_life.ts";

preparedLives("olora", (model) => olora(model, GOLDEN_LORA));
leavesFunction("olora()", olora);
Deno.test("olora() refuses targets that match nothing", async () => {
  const model = await goldenBase(reference());
  const before = memory(model.backend).live;
  await assert.rejects(olora(model, { rank: 1, targets: ["nowhere"] }), /"nowhere" matches no layer/);
  assert.equal(memory(model.backend).live, before);
  model.dispose();
});
