/** `graft merge`: a model with an adapter written into its weights. */
import {
  type DType,
  isGguf,
  isQuantized,
  merge as mergeAdapter,
  type MergeLoss,
  mergeLoss,
  type Model,
  weightLeaves,
} from "../core/mod.ts";
import { basename, dirname, join } from "node:path";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { modelOfAdapter } from "../io/layer_replication.ts";
import { newOutput } from "../io/new_output.ts";
import { saveModel } from "../io/save_model.ts";
import { loadTask } from "../io/task_file.ts";
import { modelfile } from "./merge/modelfile.ts";
import { choice, type Command, onePath } from "./terminal/arguments.ts";
import { tellsSize } from "./adapter_size.ts";
import { writtenBytes } from "./written_size.ts";
import { UsageError } from "../tuning/usage_error.ts";
import {
  methodFileOption,
  type ModelFlags,
  modelFlags,
  openAdapter,
  openModel,
  outsideOption,
} from "./load.ts";
import { ADAPTERS_BASE, modelSource } from "./model_source.ts";
import { shownAdvance } from "./terminal/advance.ts";
import { note, print, printJson, showBytes, showUnits } from "./terminal/output.ts";
import { BITSANDBYTES, BLOCKS, PLAIN } from "./output_formats.ts";

interface MergeFlags extends ModelFlags {
  readonly adapter?: string;
  readonly output?: string;
  readonly dtype?: DType | "same";
  readonly baseType?: DType;
  readonly overwrite?: true;
  /** Write a Modelfile for a model of this name. */
  readonly ollama?: string;
  readonly quiet?: true;
  readonly json?: true;
}

/** Registers the command. */
export function merge(program: Command): void {
  modelFlags(
    program.command("merge")
      .description("Write an adapter into the weights of its model; the result needs no adapter any more"),
    ADAPTERS_BASE,
  )
    .option("-a, --adapter <path|id>", "adapter folder or hub id", onePath)
    .addOption(outsideOption()).addOption(methodFileOption())
    .option("-o, --output <path>", "new folder, or a new file that ends in .gguf", onePath)
    .addOption(
      choice("--dtype <type>", "of the result; default the model's own, f16 if it is quantized", [
        "same",
        ...PLAIN,
        ...BLOCKS,
      ]),
    )
    .addOption(
      choice(
        "--base-type <type>",
        "the adapter was trained over the model quantized so (QLoRA): merge into that",
        BITSANDBYTES,
      ),
    )
    .option("--overwrite", "replace an existing output")
    .option("--ollama <name>", "also a Modelfile beside the .gguf, for ollama create")
    .option("--quiet", "do not show how far it is")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  graft merge -m model.gguf -a my-adapter -o merged.gguf --dtype q8_0",
    )
    .action((flags: MergeFlags) => run(flags));
}

async function run(flags: MergeFlags): Promise<void> {
  const { adapter: from, output } = flags;
  if (from === undefined || output === undefined) throw new UsageError("Expected --adapter and --output");
  const { adapter: _, ...rest } = flags;
  if (
    flags.dtype !== undefined && flags.dtype !== "same" && isGguf(flags.dtype) && !output.endsWith(".gguf")
  ) {
    throw new UsageError(`Cannot write ${flags.dtype} into a folder: give an --output that ends in .gguf`);
  }
  if (flags.ollama !== undefined && !output.endsWith(".gguf")) {
    throw new UsageError("Expected an --output that ends in .gguf with --ollama: Ollama runs such files");
  }
  const place = newOutput(output, flags.overwrite ?? false);
  const task = await loadTask(from);
  const source = await modelSource(flags);
  const opened = await openModel(
    { ...rest, model: source },
    {
      leaves: "lazy",
      ...flags.baseType !== undefined && { quantize: { dtype: flags.baseType } },
      ...task !== undefined && { task },
    },
  );
  try {
    const model = await modelOfAdapter(from, opened.model);
    const base = baseOf(model);
    const dtype = flags.dtype ?? (base === undefined ? "same" : "f16");
    if (!flags.json) sayBase(flags, source, base);
    const adapter = await openAdapter(from, model, flags);
    const loss = await shownAdvance(
      flags,
      "Merging",
      "weights",
      (advanced) => mergeLoss(model, adapter, { dtype, advanced }),
    );
    const merged = mergeAdapter(model, adapter, {
      leaves: "lazy",
      dtype: dtype === "same" ? "same" : "f32",
    });
    // Made first: a template that has no such form is no reason to write half.
    const recipe = flags.ollama === undefined
      ? undefined
      : modelfile(`./${basename(output)}`, opened.model.tokenizer);
    if (tellsSize(flags)) {
      const size = writtenBytes(merged, dtype === "same" ? undefined : dtype);
      note(`Writing ${output}: ${showBytes(size)} of weights`);
    }
    await shownAdvance(
      flags,
      `Writing ${output}`,
      "weights",
      (advanced) =>
        place.write((path) => saveModel(path, merged, { ...dtype !== "same" && { dtype }, advanced })),
    );
    if (recipe !== undefined) await writeTextAtomically(join(dirname(output), "Modelfile"), recipe);
    if (flags.json) {
      const { weights, ...total } = loss;
      const of = { model: model.source, quantized: base ?? null };
      printJson({ output, dtype, base: of, weights: weights.length, ...total });
    } else print(summary(output, dtype, adapter.method.name, loss));
    if (flags.ollama !== undefined && !flags.json) {
      print(`Next: ollama create ${flags.ollama} -f ${join(dirname(output), "Modelfile")}`);
    }
  } finally {
    opened.close();
  }
}

/** The dtype of the base's quantized layers. */
function baseOf(model: Model): DType | undefined {
  const linears = new Set(model.spec.linears.map((place) => `${place.path}.weight`));
  return weightLeaves(model.weights).find(([path, leaf]) => linears.has(path) && isQuantized(leaf.dtype))?.[1]
    .dtype;
}

/**
 * A quantized base computes a different function than its original, so the user must say which one is meant.
 */
function sayBase(flags: MergeFlags, source: string, quantized: DType | undefined): void {
  if (quantized === undefined) return;
  note(
    flags.baseType === undefined
      ? `Base: the ${quantized} weights of ${source}, decoded. If the adapter was trained over the original in full precision, ` +
        "give that as --model"
      : `Base: ${source} quantized to ${quantized}, decoded, as under QLoRA`,
  );
}

function summary(output: string, dtype: DType | "same", method: string, loss: MergeLoss): string {
  const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;
  const rounding = loss.lost > 1
    ? `rounding weighs ${loss.lost.toPrecision(3)} times the squared update: a finer --dtype would keep it`
    : `lost to rounding: ${percent(loss.lost)} of the squared update`;
  const stored = dtype === "same" ? "in the model's own dtypes" : `as ${dtype}`;
  return [
    `${output}: ${method} merged into ${showUnits(loss.weights.length, "weight")}, stored ${stored}`,
    `${rounding}; ${percent(loss.unchanged)} of its entries leave the stored number as it was`,
  ].join("\n");
}
