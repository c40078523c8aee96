/** `graft convert` of models: Hugging Face folders, plain or as in bitsandbytes, and GGUF files. */
import {
  type Advancing,
  type DType,
  isGguf,
  isQuantized,
  lookup,
  type Model,
  quantize,
  Tensor,
  weightLeaves,
} from "../../core/mod.ts";
import { inspectPath, type ModelDescription } from "../../io/inspect.ts";
import { newOutput } from "../../io/new_output.ts";
import { saveModel } from "../../io/save_model.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import type { ConvertFlags } from "./flags.ts";
import { tellsSize } from "../adapter_size.ts";
import { openModel } from "../load.ts";
import { writtenBytes } from "../written_size.ts";
import { shownAdvance } from "../terminal/advance.ts";
import { note, print, printJson, showBytes } from "../terminal/output.ts";
import { BITSANDBYTES, BLOCKS, formatFor, PLAIN } from "../output_formats.ts";
import { typeError } from "../../errors/error.ts";

/** The formats in which models can be written. */
export const MODEL_FORMATS = ["safetensors", "gguf", "bitsandbytes"] as const;
type Format = typeof MODEL_FORMATS[number];

/** The dtypes in which their weights can be stored. */
export const MODEL_DTYPES: readonly DType[] = [...PLAIN, ...BLOCKS, ...BITSANDBYTES];

/** The types supported by each format. */
const STORED: Readonly<Record<Format, readonly DType[]>> = {
  safetensors: PLAIN,
  gguf: [...PLAIN, ...BLOCKS],
  bitsandbytes: BITSANDBYTES,
};

/** Converts one. */
export async function convertModel(
  source: string,
  found: ModelDescription,
  target: string,
  flags: ConvertFlags,
): Promise<void> {
  const wrong = (["model", "name", "rank", "error", "ollama"] as const).find((flag) =>
    flags[flag] !== undefined
  );
  if (wrong !== undefined) {
    throw new UsageError(`Cannot use --${wrong}: "${source}" is a model, not an adapter`);
  }
  const format = formatOf(found, target, flags);
  const asked = dtypeOf(format, found, flags);
  const place = newOutput(target, flags.overwrite ?? false);
  const opened = await openModel({ ...flags, model: source }, { leaves: "lazy" });
  try {
    const { model } = opened;
    const dtype = asked ?? (holds(model, format) ? undefined : "f16");
    if (dtype !== undefined && !flags.requantize) checkTwice(model, dtype);
    if (tellsSize(flags)) {
      note(`Writing ${target}: ${showBytes(writtenBytes(model, dtype))} of weights`);
    }
    await shownAdvance(
      flags,
      `Writing ${target}`,
      "weights",
      (advanced) => place.write((path) => write(path, model, format, dtype, advanced)),
    );
    const made = await inspectPath(place.path);
    const bytes = "bytes" in made ? made.bytes : 0;
    const stored = dtype ?? "as stored";
    if (flags.json) {
      printJson({ kind: "model", target, format, dtype: stored, bytesBefore: found.bytes, bytes });
    } else {
      print(
        `${target}: ${format}, weights ${stored}, ${showBytes(bytes)} of ${showBytes(found.bytes)} before`,
      );
    }
  } finally {
    opened.close();
  }
}

function formatOf(found: ModelDescription, target: string, { to, dtype }: ConvertFlags): Format {
  const quantized = dtype === undefined
    ? found.quantization !== undefined
    : BITSANDBYTES.some((known) => known === dtype);
  const asked = to ?? (target.endsWith(".gguf") ? "gguf" : quantized ? "bitsandbytes" : "safetensors");
  return formatFor("a model", MODEL_FORMATS, asked, target);
}

/** The requested type, if the format supports it. */
function dtypeOf(format: Format, found: ModelDescription, { dtype }: ConvertFlags): DType | undefined {
  if (dtype === undefined) {
    if (format === "bitsandbytes" && found.quantization === undefined) {
      throw new UsageError(`Expected --dtype with bitsandbytes: choose ${BITSANDBYTES.join(", ")}`);
    }
    return undefined;
  }
  const known = STORED[format].find((each) => each === dtype);
  if (known !== undefined) return known;
  throw new UsageError(`Cannot store ${dtype} as ${format}: choose ${STORED[format].join(", ")}`);
}

/** Whether a format supports all of a model's weights as they are stored. */
function holds(model: Model, format: Format): boolean {
  if (format === "bitsandbytes") return true;
  return weightLeaves(model.weights).every(([, { dtype }]) =>
    !isQuantized(dtype) || (format === "gguf" && isGguf(dtype))
  );
}

/** Quantizing a second time would silently lose precision. */
function checkTwice(model: Model, dtype: DType): void {
  if (!isQuantized(dtype)) return;
  const twice = weightLeaves(model.weights).find(([, leaf]) =>
    isQuantized(leaf.dtype) && leaf.dtype !== dtype
  );
  if (twice === undefined) return;
  throw typeError(
    "INVALID_ARGUMENT",
    `Cannot convert to ${dtype}: "${twice[0]}" is ${
      twice[1].dtype
    } already; start from unquantized weights, or give --requantize to lose precision a second time`,
  );
}

async function write(
  path: string,
  model: Model,
  format: Format,
  dtype: DType | undefined,
  advanced: NonNullable<Advancing["advanced"]>,
): Promise<void> {
  if (format !== "bitsandbytes" || dtype === undefined) {
    return await saveModel(path, model, { ...dtype !== undefined && { dtype }, advanced });
  }
  // A bitsandbytes folder has no blocks, so embeddings in blocks become f16.
  const coded = [...model.spec.embeddings, ...model.spec.heads].some((place) => {
    const leaf = lookup(model.weights, `${place.path}.weight`);
    return leaf instanceof Tensor && isQuantized(leaf.dtype);
  });
  const small = quantize(model, {
    dtype,
    leaves: "lazy",
    requantize: true,
    ...coded && { embeddings: "f16" },
  });
  try {
    await saveModel(path, small, { advanced });
  } finally {
    small.dispose();
  }
}
