/** Which tokens of a conversation are learned, beside TRL's training templates: tests/oracles/chat_masks.py made golden/chat_masks. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { tokenizer } from "../../formats/tokenizer.ts";
import { conversationParts, encodeConversation } from "../../train/conversation.ts";
import { encodeExample } from "../../train/encode.ts";
import type { ExampleTokenizer } from "../../train/example_tokenizer.ts";
import type { ChatMessage } from "../../train/messages.ts";
import { GOLDEN } from "../support/golden.ts";

interface Golden {
  readonly tokenizer: unknown;
  readonly config: unknown;
  readonly rows: readonly {
    readonly messages: readonly ChatMessage[];
    readonly tools: readonly unknown[] | null;
    readonly ids: readonly number[];
    readonly mask: readonly number[];
  }[];
}

const user = (content: string): ChatMessage => ({ role: "user", content });
const assistant = (content: string): ChatMessage => ({ role: "assistant", content });
const read = (name: string): Golden => JSON.parse(readFileSync(`${GOLDEN}chat_masks/${name}.json`, "utf8"));

/** All of the assistant's messages. */
const answersOf = (messages: readonly ChatMessage[]): readonly number[] =>
  messages.flatMap(({ role }, i) => role === "assistant" ? [i] : []);

for (const name of ["qwen3", "llama3", "gemma3", "smollm2"]) {
  Deno.test(`a stock template of ${name} trains the tokens that TRL's training template marks`, () => {
    const golden = read(name);
    const { eos, ...own } = tokenizer({ tokenizer: golden.tokenizer, config: golden.config });
    assert.ok(golden.rows.length >= 4 && eos !== undefined);
    for (const { messages, tools, ids, mask } of golden.rows) {
      const conversation = { messages, learned: answersOf(messages), ...tools && { tools } };
      const { inputIds, labels } = encodeConversation(conversation, own, {
        maxLength: 1000,
        longPrompt: "refuse",
        eos,
      });
      assert.deepEqual(inputIds, ids);
      assert.deepEqual(labels.map((label) => label === -100 ? 0 : 1), mask);
    }
  });
}

/** A template that writes `<role>content` and, with `end`, a special token 9 after it; digits are tokens. */
const digits = (end: string): ExampleTokenizer => ({
  encode: (text) => [...text].map((letter) => "0123456789<>us".indexOf(letter)),
  decode: (ids) => ids.map((id) => id === 9 ? "" : String(id)).join(""),
  chat: (messages, { addGenerationPrompt = false } = {}) =>
    messages.map(({ role, content }) => `<${role[0]}>${content}${end}`).join("") +
    (addGenerationPrompt ? "<a>" : ""),
  eos: 8,
});

const long = { messages: [user("1"), assistant("2"), user("3"), assistant("4")], learned: [1, 3] };
const encoded = (
  maxLength: number,
  longPrompt: Parameters<typeof encodeConversation>[2]["longPrompt"],
  end = "9",
) => encodeConversation(long, digits(end), { maxLength, longPrompt, eos: 8 });

Deno.test("an answer that no special token ends is closed by the end token, the last one only", () => {
  const learned = ({ inputIds, labels }: ReturnType<typeof encoded>) =>
    inputIds.filter((_, i) => labels[i] !== -100);
  assert.deepEqual(learned(encoded(99, "refuse")), [2, 9, 4, 9]);
  assert.deepEqual(learned(encoded(99, "refuse", "")), [2, 4, 8]);
});

Deno.test("of too long a conversation the head or the tail is kept, or it is refused by its line", () => {
  const whole = encoded(99, "refuse");
  assert.equal(whole.inputIds.length, 20);
  const head = encoded(19, { keep: "head" });
  assert.deepEqual([head.inputIds, head.labels], [whole.inputIds.slice(0, 10), whole.labels.slice(0, 10)]);
  const tail = encoded(19, { keep: "tail" });
  assert.deepEqual([tail.inputIds, tail.labels], [whole.inputIds.slice(1), whole.labels.slice(1)]);
  assert.throws(
    () =>
      encodeExample(
        { prompt: [], answer: "4", conversation: long, at: { file: "f.json", line: 2, unit: "row" } },
        digits("9"),
        {
          maxLength: 19,
          longPrompt: "refuse",
        },
      ),
    /^RangeError: f\.json row 2: the conversation has 20 tokens, more than the 19/,
  );
  assert.throws(() => encoded(4, { keep: "head" }), /leave no room/);
  assert.throws(() => encoded(1, { keep: "tail" }), /the answer has 2 tokens/);
});

Deno.test("a template that drops or rewrites a turn is refused", () => {
  const parts = (chat: ExampleTokenizer["chat"]) =>
    conversationParts(long, { ...digits("9"), chat }, { file: "f", line: 5 });
  const { chat } = digits("9");
  assert.throws(
    () => parts((messages, options) => chat(messages.filter(({ content }) => content !== "1"), options)),
    /^RangeError: f line 5: the chat template drops message 0, of role "user"/,
  );
  assert.throws(
    () => parts((messages, options) => chat(messages.slice(-2), options)),
    /^RangeError: f line 5: the chat template (drops|rewrites)/,
  );
  assert.throws(() =>
    parts(() => {
      throw new Error("roles must alternate");
    }), /^RangeError: f line 5: the chat template refuses the conversation: roles must alternate/);
});

Deno.test("a raw text is learned whole, closed by the end token and cut where it is too long", () => {
  const text = { prompt: "", answer: "1234", text: true } as const;
  const encode = (maxLength: number, longPrompt: Parameters<typeof encoded>[1]) =>
    encodeExample(text, digits(""), { maxLength, longPrompt });
  assert.deepEqual(encode(9, "refuse"), { inputIds: [1, 2, 3, 4, 8], labels: [1, 2, 3, 4, 8] });
  assert.deepEqual(encode(3, { keep: "head" }).inputIds, [1, 2, 3]);
  assert.deepEqual(encode(3, { keep: "tail" }).labels, [3, 4, 8]);
  assert.throws(() => encode(3, "refuse"), /the text has 5 tokens, more than the 3/);
});
