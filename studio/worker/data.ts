/** Data of a tab: a file or pasted text, checked line by line, and its first rows as they are trained. */
import { type JsonlRecord, readRecords, type RecordShape, showLocation } from "../../train/mod.ts";
import { parseRecord } from "../../train/jsonl.ts";
import { contextOf, examplesOf, IGNORED, type Tokens } from "../../train/mod.ts";
import { EXAMPLE_SHAPES, shapedBy } from "../../train/examples.ts";
import { fileForm } from "../../train/records/files.ts";
import { isPlainJsonl } from "../../train/records/read.ts";
import { linesOf } from "../../train/records/lines.ts";
import { storedBytes } from "../../train/records/bytes.ts";
import { entriesOf } from "../../cli/data_command/entries.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import { loadTokenizerOf } from "../../io/load_model.ts";
import { rangeError } from "../../errors/error.ts";
import { bytesIn } from "../files/volume.ts";
import type { BadLine, DataInfo, RowPart } from "../protocol.ts";
import type { Context } from "./context.ts";

/** How many rows are shown. */
const SHOWN = 12;
/** Rows are shown uncut. */
const LONGEST = 2 ** 20;

/** Puts data in the tab's files and looks at it. */
export async function useData(
  context: Context,
  model: string,
  given: { readonly name: string; readonly content: Blob | "embedded" },
): Promise<DataInfo> {
  const { name, content } = given;
  const bytes = content === "embedded"
    ? new Uint8Array(await (await fetch("conversations.jsonl")).arrayBuffer())
    : new Uint8Array(await content.arrayBuffer());
  if (bytes.length === 0) throw rangeError("DATA_INVALID", `${name} is empty`);
  const path = `data/${name.replaceAll("/", "_")}`;
  context.volume.put(`/${path}`, bytes);
  return await dataInfo(path, model);
}

/** Leaves the lines out that cannot be used. */
export async function leaveOut({ volume }: Context, model: string, path: string): Promise<DataInfo> {
  const { bad } = await dataInfo(path, model);
  const wrong = new Set(bad.map(({ line }) => line));
  const text = new TextDecoder().decode(bytesIn(volume.file(`/${path}`, "open")));
  const kept = text.split("\n").filter((_, i) => !wrong.has(i + 1)).join("\n");
  volume.put(`/${path}`, new TextEncoder().encode(kept));
  return await dataInfo(path, model);
}

/** Every record as it is trained. @throws where none can be. */
async function dataInfo(path: string, model: string): Promise<DataInfo> {
  const tokenizer = (await loadTokenizerOf(model))!;
  const shaped = shapedBy({}, ["tags", "label", "score", ...EXAMPLE_SHAPES]);
  const bad: BadLine[] = [];
  const rows: DataInfo["rows"][number][] = [];
  const prompts: string[] = [];
  const found = { count: 0, tokens: 0, trained: 0, longest: 0, shape: "" };
  const take = (parsed: () => JsonlRecord, line: number): void => {
    try {
      const { record, shape } = shaped(parsed());
      const entries = entriesOf(record, shape, tokenizer, { maxLength: LONGEST });
      found.shape ||= shape;
      for (const { texts } of entries) {
        const { tokens } = texts[0]!;
        const trained = tokens.labels.reduce((n, label, i) => n + Number(i > 0 && label !== IGNORED), 0);
        found.count++;
        found.tokens += tokens.inputIds.length;
        found.trained += trained;
        found.longest = Math.max(found.longest, tokens.inputIds.length);
        if (rows.length < SHOWN) {
          rows.push({ line, parts: partsOf(tokens, tokenizer), tokens: tokens.inputIds.length });
        }
        const prompt = prompts.length < SHOWN ? promptTextOf(record, shape) : undefined;
        if (prompt !== undefined) prompts.push(prompt);
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      // Lines are named apart.
      bad.push({ line, why: error.message.replace(`${showLocation({ file: path, line })}: `, "") });
    }
  };
  if (await isPlainJsonl(path)) {
    for await (const { line, bytes } of linesOf(storedBytes(path))) {
      const own = bytes.slice();
      take(() => parseRecord({ file: path, line }, own), line);
    }
  } else {
    for await (const record of readRecords(path)) take(() => record, record.line);
  }
  if (found.count === 0) {
    const [first] = bad;
    throw rangeError(
      "DATA_INVALID",
      first === undefined
        ? `${path.slice(5)} has no records`
        : `No line of ${path.slice(5)} can be used; line ${first.line}: ${first.why}${
          fileForm(path) === undefined ? "" : ""
        }`,
    );
  }
  return { name: path, ...found, rows, bad, prompts };
}

/** The text of a row in runs of what is trained and what is not. Neighbouring tokens are decoded together. */
function partsOf({ inputIds, labels }: Tokens, tokenizer: Tokenizer): readonly RowPart[] {
  const runs: { readonly trained: boolean; readonly ids: number[] }[] = [];
  inputIds.forEach((id, i) => {
    const trained = i > 0 && labels[i] !== IGNORED;
    const last = runs.at(-1);
    if (last?.trained === trained) last.ids.push(id);
    else runs.push({ trained, ids: [id] });
  });
  return runs.map(({ trained, ids }) => ({ trained, text: tokenizer.decode(ids) }));
}

/** What a person would write to ask the record's question; undefined where it has none. */
function promptTextOf(record: JsonlRecord, shape: RecordShape): string | undefined {
  if (!EXAMPLE_SHAPES.includes(shape) || shape === "text") return undefined;
  const [example] = examplesOf(record, shape);
  if (example === undefined) return undefined;
  const { prompt } = example;
  if (example.body !== undefined) return contextOf(example);
  return typeof prompt === "string" ? prompt : prompt.findLast(({ role }) => role === "user")?.content;
}

/** A prompt of a person as the record of the data's shape that asks it, with an answer that is never read. */
export function recordOf(prompt: string, shape: RecordShape): Readonly<Record<string, unknown>> {
  switch (shape) {
    case "dialogue/summary":
      return { dialogue: prompt, summary: "-" };
    case "alpaca":
      return { instruction: prompt, output: "-" };
    case "messages":
    case "sharegpt":
      return {
        messages: [{ role: "user", content: prompt }, { role: "assistant", content: "-" }],
      };
    default:
      return { prompt, completion: "-" };
  }
}
