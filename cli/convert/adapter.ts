/**
 * `graft convert` of adapters: folders of HF PEFT, AdapterHub and our own and GGUF files, as the method
 * itself or as LoRA.
 */
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { type Adapter, dispose, leaves } from "../../core/mod.ts";
import { writeTextAtomically } from "../../formats/atomic_write.ts";
import type { AdapterDescription } from "../../io/inspect.ts";
import { modelOfAdapter } from "../../io/layer_replication.ts";
import { loadAdapter } from "../../io/load_adapter.ts";
import { newOutput } from "../../io/new_output.ts";
import { saveAdapter, type SaveAdapterOptions } from "../../io/save_adapter.ts";
import { type Approximation, type Limit, toLora } from "../../methods/mod.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import type { ConvertFlags } from "./flags.ts";
import { loadingOf, localSource, openModel } from "../load.ts";
import { modelSource } from "../model_source.ts";
import { modelfile } from "../merge/modelfile.ts";
import { checkAdapterSize, tellsSize } from "../adapter_size.ts";
import { shownAdvance } from "../terminal/advance.ts";
import { note, print, printJson, showCount } from "../terminal/output.ts";
import { formatFor } from "../output_formats.ts";

/** The formats in which adapters can be written. */
export const ADAPTER_FORMATS = ["peft", "adapters", "gguf", "graft"] as const;

/** Converts one. */
export async function convertAdapter(
  source: string,
  found: AdapterDescription,
  target: string,
  flags: ConvertFlags,
): Promise<void> {
  const format = formatOf(target, flags);
  if (flags.ollama !== undefined && format !== "gguf") {
    throw new UsageError(
      "Expected a target that ends in .gguf with --ollama: Ollama puts such adapters on any model",
    );
  }
  const place = newOutput(target, flags.overwrite ?? false);
  const base = await modelSource({ ...flags, adapter: source });
  const opened = await openModel({ ...flags, model: base });
  try {
    const model = await modelOfAdapter(source, opened.model, flags.name);
    if (flags.model !== undefined && found.base !== undefined && found.base !== model.source && !flags.json) {
      note(`The adapter names "${found.base}" as its base; here it is put on "${model.source}"`);
    }
    if (model !== opened.model && (format === "gguf" || format === "adapters") && !flags.json) {
      note(
        `The adapter is for a model of ${model.spec.blocks.length} layers, replicated from those of its base, which ${target} cannot say: ` +
          "it fits no other; `graft merge` writes that model with the adapter in it",
      );
    }
    // A target contains one adapter, so the name that distinguished it is dropped.
    const { name: _, ...adapter } = await loadAdapter(source, model, {
      ...await loadingOf(flags),
      ...flags.name !== undefined && { name: flags.name },
    });
    const limit = limitOf(flags);
    const cut = limit === undefined ? undefined : await shownAdvance(
      flags,
      "Factorizing",
      "layers",
      (advanced) => toLora(model, adapter, limit, { advanced }),
    );
    const written = cut?.adapter ?? adapter;
    checkAdapterSize(model, written, {
      force: flags.force === true,
      change: "--rank or --error",
      ...tellsSize(flags) && { output: target },
    });
    // Made first: a template that has no such form is no reason to write half.
    const recipe = flags.ollama === undefined ? undefined : modelfile(
      besideTarget(await localSource(base), target),
      opened.model.tokenizer,
      `./${basename(target)}`,
    );
    await place.write(async (path) =>
      await saveAdapter(path, written, model, { format, ...await ownOf(flags) })
    );
    if (recipe !== undefined) await writeTextAtomically(join(dirname(target), "Modelfile"), recipe);
    report(target, format, adapter, written, cut, flags);
    if (recipe !== undefined && !flags.json) {
      print(`Next: ollama create ${flags.ollama} -f ${join(dirname(target), "Modelfile")}`);
    }
    dispose([adapter.params, ...cut ? [cut.adapter.params] : []]);
  } finally {
    opened.close();
  }
}

/** The base's path as a Modelfile beside the target names it. */
function besideTarget(base: string, target: string): string {
  const found = relative(dirname(resolve(target)), resolve(base));
  return isAbsolute(found) || found.startsWith("..") ? found : `./${found}`;
}

/** Methods of one's own, as an option of saving. */
async function ownOf(flags: ConvertFlags): Promise<Pick<SaveAdapterOptions, "methods">> {
  const { methods } = await loadingOf(flags);
  return methods === undefined ? {} : { methods };
}

function formatOf(target: string, flags: ConvertFlags): typeof ADAPTER_FORMATS[number] {
  if (flags.dtype !== undefined || flags.requantize) {
    throw new UsageError("Cannot use --dtype or --requantize with an adapter: its factors stay f32");
  }
  const asked = flags.to ?? (target.endsWith(".gguf") ? "gguf" : "peft");
  return formatFor("an adapter", ADAPTER_FORMATS, asked, target);
}

function limitOf({ rank, error }: ConvertFlags): Limit | undefined {
  return rank !== undefined ? { rank } : error !== undefined ? { error } : undefined;
}

function report(
  target: string,
  format: string,
  adapter: Adapter,
  written: Adapter,
  cut: Approximation | undefined,
  { json }: ConvertFlags,
): void {
  const parameters = leaves(written.params).reduce((n, [, t]) => n + t.size, 0);
  const method = adapter.method.name;
  if (json) {
    return printJson({
      kind: "adapter",
      target,
      format,
      method,
      parameters,
      ...cut && { lora: { error: cut.error, errors: cut.errors } },
    });
  }
  const what = cut === undefined
    ? method
    : `${method} as LoRA of rank ${rankText(cut.adapter)}, relative error ${cut.error.toPrecision(3)}`;
  print(`${target}: ${what}, ${showCount(parameters)} parameters, as ${format}`);
}

/** The ranks of a LoRA by layer: "8", or "2 to 8". */
export function rankText({ method }: Adapter): string {
  const ranks = Object.values(method.config["rankPattern"] as Readonly<Record<string, number>>);
  const [least, most] = [Math.min(...ranks), Math.max(...ranks)];
  return least === most ? String(most) : `${least} to ${most}`;
}
