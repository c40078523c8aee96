/** Writes the embedded model in Q8_0, and once more decoded, for embedded_q8.py. `deno run -A tests/oracles/embedded_q8.ts FOLDER` */
import { loadModel } from "../../io/load_model.ts";
import { saveModel } from "../../io/save_model.ts";
import { wasm } from "../../mod.ts";
import { digest, embeddedPrompts, MADE, writeEmbeddedQ8 } from "../support/embedded_q8.ts";

const folder = Deno.args[0]!;
const backend = await wasm({ threads: 1 });
Deno.mkdirSync(folder, { recursive: true });
const path = `${folder}/embedded-q8_0.gguf`;
const model = await writeEmbeddedQ8(path, backend);
await saveModel(`${folder}/embedded-decoded.gguf`, await loadModel(path, { backend }), { dtype: "f32" });
Deno.writeTextFileSync(
  `${folder}/prompts.json`,
  JSON.stringify({ digest: await digest(path), made: MADE, prompts: embeddedPrompts(model) }),
);
backend.close();
