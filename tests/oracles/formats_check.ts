/** Writes, with formats/, what formats_check.py reads. Argument: an empty folder. */
import { bitsandbytesView } from "../../formats/bitsandbytes.ts";
import { bitsandbytesGroup } from "../../formats/bitsandbytes_write.ts";
import { ggufContent } from "../../formats/gguf_model.ts";
import { openGguf } from "../../formats/gguf.ts";
import { writeGguf } from "../../formats/gguf_write.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import { type SafetensorsInput, writeSafetensors } from "../../formats/safetensors_write.ts";

const golden = new URL("./golden/formats/", import.meta.url).pathname;
const out = Deno.args[0]!;

const plain = openSafetensors(golden + "plain.safetensors");
await writeSafetensors(`${out}/copy.safetensors`, plain.raw.values());
plain.close();

for (const kind of ["nf4", "nf4_double", "fp4", "fp4_double", "int8"]) {
  Deno.mkdirSync(`${out}/bnb_${kind}`, { recursive: true });
  const view = bitsandbytesView(openSafetensors(`${golden}bnb_${kind}/model.safetensors`));
  const tensors = [...view.tensors.values()].flatMap((t): readonly SafetensorsInput[] =>
    t.dtype === kind ? bitsandbytesGroup(t) : [t]
  );
  await writeSafetensors(`${out}/bnb_${kind}/model.safetensors`, tensors);
  Deno.copyFileSync(`${golden}bnb_${kind}/config.json`, `${out}/bnb_${kind}/config.json`);
  view.close();
}

for (const architecture of ["llama", "qwen2", "gpt2"]) {
  const file = openSafetensors(`${golden}hf_${architecture}/model.safetensors`);
  const config = JSON.parse(Deno.readTextFileSync(`${golden}hf_${architecture}/config.json`));
  const python = openGguf(`${golden}${architecture}.gguf`);
  const tokenizer = new Map([...python.fields].filter(([key]) => key.startsWith("tokenizer.")));
  const { fields, tensors } = ggufContent(config, file.tensors.values(), tokenizer);
  await writeGguf(`${out}/${architecture}.gguf`, fields, tensors);
  python.close();
  file.close();
}
