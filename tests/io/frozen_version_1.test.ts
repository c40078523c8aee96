/** Adapters and checkpoints as version 1 wrote them: tests/oracles/frozen_version_1.ts says what they are. */
import { frozenFiles } from "../support/frozen.ts";
import { GOLDEN } from "../support/golden.ts";

frozenFiles({
  version: 1,
  size: 291,
  adapters: `${GOLDEN}frozen_version_1/adapters`,
  states: `${GOLDEN}frozen_version_1/states`,
  runs: `${GOLDEN}frozen_version_1/runs`,
  expected: `${GOLDEN}frozen_version_1/expected.json`,
  logits: "frozen_version_1/expected.safetensors",
});
