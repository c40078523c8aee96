/** Adapters and checkpoints as version 2 wrote them, whose records are data all the way down: tests/oracles/frozen_version_2.ts says what they are. */
import { frozenFiles } from "../support/frozen.ts";
import { GOLDEN } from "../support/golden.ts";

frozenFiles({
  version: 2,
  size: 311,
  adapters: `${GOLDEN}frozen_version_2/adapters`,
  states: `${GOLDEN}frozen_version_2/states`,
  runs: `${GOLDEN}frozen_version_2/runs`,
  expected: `${GOLDEN}frozen_version_2/expected.json`,
  logits: "frozen_version_2/expected.safetensors",
});
