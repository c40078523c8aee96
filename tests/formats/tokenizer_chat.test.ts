/** Chat templates against transformers' apply_chat_template: tests/oracles/tokenizer_goldens.py made chat.json. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type ChatMessage, chatTemplate, chatTemplateSource } from "../../formats/chat_template.ts";
import { tokenizer } from "../../formats/tokenizer.ts";

const read = (name: string) =>
  JSON.parse(
    readFileSync(new URL(`../oracles/golden/tokenizer_goldens/${name}.json`, import.meta.url), "utf8"),
  );

interface Row {
  readonly template: string;
  readonly messages: readonly ChatMessage[];
  readonly prompt: boolean;
  readonly tools: unknown;
  readonly text: string | { readonly error: string };
}

const golden: { templates: Record<string, string>; rows: readonly Row[] } = read("chat");

for (const [name, source] of Object.entries(golden.templates)) {
  Deno.test(`chat() writes what transformers writes with the ${name} template`, () => {
    const made = tokenizer({ ...read("llama3"), chatTemplate: source });
    const rows = golden.rows.filter((row) => row.template === name);
    assert.ok(rows.length >= 8);
    for (const { messages, prompt, tools, text } of rows) {
      const write = () =>
        made.chat(messages, {
          addGenerationPrompt: prompt,
          ...(tools === null ? {} : { variables: { tools } }),
        });
      if (typeof text === "string") assert.equal(write(), text);
      else assert.throws(write, new RegExp(text.error));
    }
  });
}

Deno.test("chat() says that the checkpoint has no template", () => {
  assert.throws(() => tokenizer(read("gpt2")).chat([]), /the checkpoint has no chat template/);
});

Deno.test("chatTemplate() throws a SyntaxError when the program cannot be parsed", () => {
  assert.throws(() => chatTemplate("{% for x %}"), SyntaxError);
});

Deno.test("chatTemplateSource() takes a string or the template named default", () => {
  assert.equal(chatTemplateSource("a"), "a");
  assert.equal(chatTemplateSource(null), undefined);
  const named = [{ name: "tool_use", template: "t" }, { name: "default", template: "d" }];
  assert.equal(chatTemplateSource(named), "d");
  assert.equal(chatTemplateSource({ default: "d" }), "d");
  assert.throws(() => chatTemplateSource(named.slice(0, 1)), /named "default" but found "tool_use"/);
});

Deno.test("the template in tokenizer_config.json counts, and chat_template.jinja wins over it", () => {
  const files = read("llama3");
  const config = { ...files.config, chat_template: "from the config {{ eos_token }}" };
  assert.equal(tokenizer({ ...files, config }).chat([]), "from the config </s>");
  assert.equal(tokenizer({ ...files, config, chatTemplate: "{{ messages | length }}" }).chat([]), "0");
});
