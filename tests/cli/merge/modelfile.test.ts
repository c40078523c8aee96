/** Modelfiles from the chat templates of checkpoints: those of tests/oracles/tokenizer_goldens.py and chat_masks.py. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { modelfile, turnTexts, writtenBy } from "../../../cli/merge/modelfile.ts";
import { adapt } from "../../../core/mod.ts";
import { loadModel } from "../../../io/load_model.ts";
import { openGguf } from "../../../formats/gguf.ts";
import { saveModel } from "../../../io/save_model.ts";
import { saveAdapter } from "../../../io/save_adapter.ts";
import { lora } from "../../../methods/mod.ts";
import { reference } from "../../../ops/reference/mod.ts";
import { graft, temporaryFolder } from "../tiny.ts";
import { tokenizer } from "../../../formats/tokenizer.ts";
import { GOLDEN } from "../../support/golden.ts";

const own = (name: string) => {
  const { tokenizer: json, config } = JSON.parse(readFileSync(`${GOLDEN}chat_masks/${name}.json`, "utf8"));
  return tokenizer({ tokenizer: json, config });
};
const MESSAGES = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Where is my parcel?" },
  { role: "assistant", content: "In Lyon." },
  { role: "user", content: "And now?" },
];

for (const name of ["llama3", "smollm2"]) {
  Deno.test(`the texts around messages of ${name} are those of its template`, () => {
    const found = own(name);
    const texts = turnTexts(found);
    for (const messages of [MESSAGES, MESSAGES.slice(1), MESSAGES.slice(1, 2)]) {
      assert.equal(writtenBy(texts, messages, true), found.chat(messages, { addGenerationPrompt: true }));
    }
  });
}

Deno.test("a Modelfile has the template as Ollama writes it, and what ends an answer", () => {
  assert.equal(
    modelfile("./m.gguf", own("smollm2")),
    [
      "FROM ./m.gguf",
      'TEMPLATE """{{ if ne (index .Messages 0).Role "system" }}{{ "<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\\n" }}{{ end }}' +
      '{{ range .Messages }}{{ if eq .Role "system" }}{{ "<|im_start|>system\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}{{ end }}' +
      '{{ if eq .Role "user" }}{{ "<|im_start|>user\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}{{ end }}' +
      '{{ if eq .Role "assistant" }}{{ "<|im_start|>assistant\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}{{ end }}{{ end }}' +
      '{{ if ne (index .Messages (len (slice .Messages 1))).Role "assistant" }}{{ "<|im_start|>assistant\\n" }}{{ end }}"""',
      'PARAMETER stop "<|im_end|>"',
      "",
    ].join("\n"),
  );
  // The start token is the tokenizer's to add.
  assert.ok(!modelfile("./m.gguf", own("llama3")).includes("begin_of_text"));
});

Deno.test("a template that is no row of texts is refused", () => {
  assert.throws(() => turnTexts(own("gemma3")), /puts the system's text into the first question/);
  assert.throws(
    () => turnTexts({ chat: (messages) => messages.map(({ content }) => content.toUpperCase()).join("") }),
    /changes what messages say/,
  );
});

Deno.test("graft merge --ollama writes the Modelfile beside the file, and wants one", async () => {
  using folder = temporaryFolder();
  const [adapter, output] = [`${folder.path}/adapter`, `${folder.path}/merged.gguf`];
  const model = await loadModel("embedded/model", { backend: reference() });
  await saveAdapter(adapter, adapt(model, lora({ rank: 2 }), 0), model);
  const merge = (to: string) =>
    graft(["merge", "-m", "embedded", "-a", adapter, "-o", to, "--ollama", "mine"]);
  const { code, out, err } = await merge(output);
  assert.equal(code, 0, err);
  assert.match(out, /Next: ollama create mine -f .*Modelfile/);
  assert.equal(
    readFileSync(`${folder.path}/Modelfile`, "utf8"),
    modelfile("./merged.gguf", model.tokenizer),
  );
  assert.match(
    (await merge(`${folder.path}/merged`)).err,
    /Expected an --output that ends in \.gguf with --ollama/,
  );
  model.dispose();
});

Deno.test("graft convert --ollama puts an adapter's file on the model that stands beside it", async () => {
  using folder = temporaryFolder();
  const [adapter, base, target] = ["adapter", "base.gguf", "tuned.gguf"].map((name) =>
    `${folder.path}/${name}`
  );
  const model = await loadModel("embedded/model", { backend: reference() });
  await saveAdapter(adapter!, adapt(model, lora({ rank: 2 }), 0), model);
  await saveModel(base!, model);
  const convert = (to: string) => graft(["convert", adapter!, to, "--model", base!, "--ollama", "mine"]);
  const { code, out, err } = await convert(target!);
  assert.equal(code, 0, err);
  assert.match(out, /Next: ollama create mine -f .*Modelfile/);
  const written = readFileSync(`${folder.path}/Modelfile`, "utf8");
  assert.equal(written, modelfile("./base.gguf", model.tokenizer, "./tuned.gguf"));
  assert.match(written, /^FROM \.\/base\.gguf\nADAPTER \.\/tuned\.gguf\nTEMPLATE """/);
  // What Ollama looks for in an adapter's file.
  const { metadata, tensors, close } = openGguf(target!);
  assert.equal(metadata.get("general.type"), "adapter");
  assert.equal(metadata.get("adapter.type"), "lora");
  assert.equal(typeof metadata.get("adapter.lora.alpha"), "number");
  assert.equal(metadata.get("general.architecture"), "llama");
  assert.ok([...tensors.keys()].every((name) => /^blk\.\d+\.attn_[a-z]+\.weight\.lora_[ab]$/.test(name)));
  assert.match(
    (await convert(`${folder.path}/lora`)).err,
    /Expected a target that ends in \.gguf with --ollama/,
  );
  close();
  model.dispose();
});
