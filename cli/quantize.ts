/** `graft quantize`: a model in fewer bits, or with `--compare` what each four-bit type would cost it. */
import { readFile } from "node:fs/promises";
import {
  type DType,
  isGguf,
  isQuantized,
  key,
  lookup,
  type Model,
  quantize as quantizeModel,
  Tensor,
  weightBytes,
} from "../core/mod.ts";
import { corpus } from "../embedded/corpus.ts";
import { newOutput } from "../io/new_output.ts";
import { saveModel } from "../io/save_model.ts";
import { textRows } from "../train/mod.ts";
import { choice, type Command, integer, names, onePath } from "./terminal/arguments.ts";
import { tellsSize } from "./adapter_size.ts";
import { writtenBytes } from "./written_size.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { compareTypes, type TypeComparison } from "../train/quantization_comparison.ts";
import { type ModelFlags, modelFlags, openModel } from "./load.ts";
import { shownAdvance } from "./terminal/advance.ts";
import { note, print, printJson, showBytes, table } from "./terminal/output.ts";
import { BITSANDBYTES, BLOCKS, PLAIN } from "./output_formats.ts";

const EMBEDDINGS = [...PLAIN, "int8", ...BLOCKS] as const;

interface QuantizeFlags extends ModelFlags {
  readonly type?: DType;
  readonly output?: string;
  readonly targets?: readonly string[];
  readonly embeddings?: DType;
  readonly requantize?: true;
  readonly overwrite?: true;
  readonly compare?: true;
  readonly text?: string;
  readonly tokens: number;
  readonly quiet?: true;
  readonly json?: true;
}

/** Registers the command. */
export function quantize(program: Command): void {
  modelFlags(
    program.command("quantize")
      .description("Store a model in fewer bits, or compare four-bit types"),
  )
    .addOption(choice("--type <type>", "of the blocks' linear layers", [...BITSANDBYTES, ...BLOCKS]))
    .option(
      "-o, --output <path>",
      "new folder (bitsandbytes types), or a new file that ends in .gguf",
      onePath,
    )
    .option("--targets <names>", "only these layers, separated by commas", names)
    .addOption(
      choice("--embeddings <type>", "of embeddings and an untied head; default as they are", EMBEDDINGS),
    )
    .option("--requantize", "allow weights that are quantized already, which loses precision twice")
    .option("--overwrite", "replace an existing output")
    .option("--compare", "print errors and perplexity of every four-bit type; writes nothing")
    .option(
      "--text <file>",
      "text for the perplexity; default generated conversations the embedded model never saw",
    )
    .option("--tokens <n>", "tokens of the text to read", integer(2), 4096)
    .option("--quiet", "do not show how far it is")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  graft quantize -m HuggingFaceTB/SmolLM2-135M --type nf4_double -o small\n" +
        "  graft quantize -m model.gguf --compare --text book.txt",
    )
    .action((flags: QuantizeFlags) => flags.compare ? compare(flags) : store(flags));
}

async function store(flags: QuantizeFlags): Promise<void> {
  const { type, output } = flags;
  if (type === undefined || output === undefined) {
    throw new UsageError("Expected --type and --output, or --compare");
  }
  checkTarget(type, output);
  checkEmbeddings(flags.embeddings, output);
  const place = newOutput(output, flags.overwrite ?? false);
  const opened = await openModel(flags, { leaves: "lazy" });
  try {
    const before = weightBytes(opened.model);
    const small = quantizeModel(opened.model, {
      dtype: type,
      leaves: "lazy",
      requantize: flags.requantize ?? false,
      ...flags.targets && { targets: flags.targets },
      ...embeddingsOf(flags, output, opened.model),
    });
    if (tellsSize(flags)) {
      note(`Writing ${output}: ${showBytes(writtenBytes(small))} of weights, now ${showBytes(before)}`);
    }
    await shownAdvance(
      flags,
      `Writing ${output}`,
      "weights",
      (advanced) => place.write((path) => saveModel(path, small, { advanced })),
    );
    const result = { output, type, bytesBefore: before, bytes: weightBytes(small) };
    if (flags.json) printJson(result);
    else {
      const share = (100 * result.bytes / before).toFixed(1);
      print(`${output}: ${showBytes(result.bytes)} of weights, ${share} % of ${showBytes(before)}`);
    }
  } finally {
    opened.close();
  }
}

/** Checks that the file format supports the type. */
function checkTarget(type: DType, output: string): void {
  const gguf = output.endsWith(".gguf");
  if (isGguf(type) && !gguf) {
    throw new UsageError(`Cannot write ${type} into a folder: give an --output that ends in .gguf`);
  }
  if (gguf && BITSANDBYTES.some((known) => known === type)) {
    throw new UsageError(
      `Cannot write ${type} into a GGUF file: choose ${BLOCKS.join(", ")}, or a folder as --output`,
    );
  }
}

/** bitsandbytes leaves embeddings plain, and GGUF has no int8. */
function checkEmbeddings(type: DType | undefined, output: string): void {
  if (type === undefined || ["f32", "f16", "bf16"].includes(type)) return;
  if (output.endsWith(".gguf")) checkTarget(type, output);
  else {
    throw new UsageError(
      `Cannot write ${type} embeddings into a folder: choose f32, f16 or bf16, or a .gguf --output`,
    );
  }
}

/** A folder has no blocks, so block-quantized embeddings are saved as f16. */
function embeddingsOf(
  { embeddings }: QuantizeFlags,
  output: string,
  model: Model,
): { readonly embeddings?: DType } {
  if (embeddings !== undefined) return { embeddings };
  if (output.endsWith(".gguf")) return {};
  const coded = model.spec.embeddings.some(({ path }) => {
    const leaf = lookup(model.weights, `${path}.weight`);
    return leaf instanceof Tensor && isQuantized(leaf.dtype);
  });
  return coded ? { embeddings: "f16" } : {};
}

async function compare(flags: QuantizeFlags): Promise<void> {
  const opened = await openModel(flags);
  try {
    const { model } = opened;
    const rows = textRows(await textsOf(flags), model.tokenizer, Math.min(512, contextOf(model)));
    const kept = { ...rows, count: countFor(rows.lengths, flags.tokens) };
    const result = await compareTypes(
      model,
      kept,
      { pad: model.tokenizer.pad ?? 0, batchSize: 2 },
      (what, perplexity) => note(`${what}: perplexity ${perplexity.toFixed(3)}`),
    );
    if (flags.json) printJson(result);
    else print(comparisonText(result));
  } finally {
    opened.close();
  }
}

async function textsOf(flags: QuantizeFlags): Promise<readonly string[]> {
  if (flags.text !== undefined) return [await readFile(flags.text, "utf8")];
  // Far beyond the texts of pretraining.
  return [...corpus(key(2026), 12_000_000, 12_000_000 + Math.ceil(flags.tokens / 40))];
}

function contextOf({ config }: Model): number {
  const context = config["max_position_embeddings"] ?? config["n_positions"];
  return typeof context === "number" ? context : 512;
}

/** The number of rows that contain the first `tokens` tokens. */
function countFor(lengths: ArrayLike<number>, tokens: number): number {
  let [count, sum] = [0, 0];
  while (count < lengths.length && sum < tokens) sum += lengths[count++]!;
  return count;
}

function comparisonText({ types, perplexity, tokens, disagreements }: TypeComparison): string {
  const heading = types.map((t) => t.dtype);
  const layers = types[0]!.layers.map(({ layer }, i) => ({ layer, of: types.map((t) => t.layers[i]!) }));
  const share = (part: { readonly rms: number; readonly weightRms: number }): string =>
    `${(100 * part.rms / part.weightRms).toFixed(2)} %`;
  const order = disagreements.map(([better, worse]) =>
    `The survey puts ${better} before ${worse}; here ${worse} is better.`
  );
  return [
    "RMS error of a block's linear layers, as a share of their weights' own RMS",
    table([["block", ...heading], ...layers.map(({ layer, of }) => [String(layer), ...of.map(share)])]),
    "",
    "Largest error of a block's linear layers",
    table([
      ["block", ...heading],
      ...layers.map(({ layer, of }) => [String(layer), ...of.map((e) => e.worst.toPrecision(3))]),
    ]),
    "",
    `All blocks, and perplexity on ${tokens} tokens (as loaded: ${perplexity.toFixed(3)})`,
    table([
      ["type", "bits a weight", "RMS", "RMS share", "worst", "perplexity", "survey's mean"],
      ...types.map((t) => [
        t.dtype,
        t.bitsPerWeight.toFixed(3),
        t.rms.toPrecision(3),
        share(t),
        t.worst.toPrecision(3),
        t.perplexity.toFixed(3),
        t.survey?.toFixed(2) ?? "",
      ]),
    ]),
    "",
    ...order.length > 0
      ? order
      : ["The order is the survey's: int4, e2m1, e3m0, nf4_double from worst to best."],
  ].join("\n");
}
