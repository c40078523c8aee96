/** The first steps of every command: the backend, the model, and its adapter. */
import { type Adapter, type Backend, graft, type Model } from "../core/mod.ts";
import type { Tokenizer } from "../formats/tokenizer.ts";
import { loadAdapter, type LoadAdapterOptions } from "../io/load_adapter.ts";
import { modelOfAdapter } from "../io/layer_replication.ts";
import { baseModelName, sameBaseName } from "../io/base_model_name.ts";
import { loadTask } from "../io/task_file.ts";
import { loadModel, type LoadOptions } from "../io/load_model.ts";
import { localHeaders, localPath } from "../io/local_path.ts";
import { BACKEND_NAMES, chooseBackend } from "../ops/auto/mod.ts";
import { gpu, type GpuBackend } from "../ops/gpu/mod.ts";
import { reference } from "../ops/reference/mod.ts";
import { openNative } from "../ops/native/mod.ts";
import { wasm } from "../ops/wasm/mod.ts";
import { choice, type Command, integer, onePath, type Option, option, rare } from "./terminal/arguments.ts";
import { chooseMethod } from "../tuning/chosen_method.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { modelOption, modelSource } from "./model_source.ts";
import { downloadNotes } from "./terminal/download_notes.ts";
import { note } from "./terminal/output.ts";

/** A backend's name. */
export type BackendName = typeof BACKEND_NAMES[number];

/** Where to compute. */
export interface BackendFlags {
  readonly backend: BackendName | "auto";
  readonly threads?: number;
  /** Times kernels, on the gpu. */
  readonly profile?: true;
  /** Precision of multiplication in products; f16 only on the gpu. Default f32. */
  readonly precision?: "f32" | "f16";
  /** Maximum number of bytes on the gpu; default: what the GPU provides. */
  readonly memory?: number;
}

/** Which model. */
export interface ModelFlags extends BackendFlags {
  /** A folder, a .gguf file, a hub id or "embedded"; the base that an adapter names when absent. */
  readonly model?: string;
  /** As `LoadAdapterOptions`. */
  readonly outsideFolders?: true;
  /** The file of a method of one's own, of commands that load an adapter. */
  readonly methodFile?: string;
}

/** Adds `--backend` and `--threads`. */
function backendFlags(command: Command): Command {
  return command
    .addOption(
      choice("--backend <name>", "where to compute; auto: what fits", [
        "auto",
        ...BACKEND_NAMES,
      ]).default("auto"),
    )
    .option("--threads <n>", "of the CPU; default the machine's, at most 8 on wasm", integer());
}

/** Adds `--model`, with what stands for it where it is not given, `--backend` and `--threads`. */
export function modelFlags(command: Command, otherwise?: string): Command {
  const [flag, help] = modelOption(otherwise);
  return backendFlags(command.option(flag, help, onePath));
}

/** `--outside-folders`, of commands that take an adapter. */
export const outsideOption = (): Option =>
  option("--outside-folders", "an adapter's files may name folders outside its own");

/** `--method-file`, of commands that take an adapter. */
export const methodFileOption = (): Option =>
  option("--method-file <file>", "the file of your own method, if it is of one", onePath);

/** The flags as options of loading. */
export async function loadingOf(
  { outsideFolders, methodFile }: Pick<ModelFlags, "outsideFolders" | "methodFile">,
): Promise<LoadAdapterOptions> {
  return {
    ...outsideFolders !== undefined && { outsideFolders },
    ...methodFile !== undefined && { methods: (await chooseMethod(methodFile)).own },
  };
}

/** How a model's matrices are stored in memory. */
export interface DtypeFlags {
  /** Default: as in the file. Quantized ones are unchanged. */
  readonly dtype?: "f32" | "f16" | "bf16";
}

/** Adds `--precision`. */
export function precisionFlag(command: Command): Command {
  return command.addOption(
    rare(
      choice("--precision <type>", "of products; f16 scales the loss, gpu only; default f32", ["f32", "f16"]),
    ),
  );
}

/** @throws {UsageError} on f16 with a backend that does not support it. */
export function checkPrecision({ backend, precision }: BackendFlags): void {
  if (precision === "f16" && backend !== "gpu") {
    throw new UsageError("Expected --backend gpu with --precision f16: other backends multiply in f32");
  }
}

/** @throws {UsageError} on a budget for a backend that has none. */
export function checkBudget({ backend, memory }: BackendFlags): void {
  if (memory !== undefined && backend !== "gpu") {
    throw new UsageError("Expected --plan or --backend gpu with --memory: other backends have no budget");
  }
}

/** Adds `--dtype`. */
export function dtypeFlag(command: Command): Command {
  return command.addOption(
    rare(choice("--dtype <type>", "type of plain matrices in memory; default as in the file", [
      "f32",
      "f16",
      "bf16",
    ])),
  );
}

/** The flag as an option of loading. */
export const dtypeOf = ({ dtype }: DtypeFlags): DtypeFlags => dtype === undefined ? {} : { dtype };

/** Flags with the backend that "auto" means, which is said. @throws {UsageError} when `GRAFT_BACKEND` names none. */
export async function withBackend<F extends BackendFlags>(
  flags: F,
): Promise<F & { readonly backend: BackendName }> {
  const { backend } = flags;
  if (backend !== "auto") return { ...flags, backend };
  try {
    const { name, line } = await chooseBackend();
    note(line);
    return { ...flags, backend: name };
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

/** Starts the backend. Close it when done. */
export async function openBackend(flags: BackendFlags): Promise<Backend> {
  const { backend, threads, profile, precision = "f32", memory } = await withBackend(flags);
  checkPrecision({ backend, precision });
  switch (backend) {
    case "wasm":
      return await wasm(threads === undefined ? {} : { threads });
    case "native":
      return await asUsage(() => openNative(threads === undefined ? {} : { threads }));
    case "reference":
      return reference();
    case "gpu":
      return notedAdapter(
        await asUsage(() =>
          gpu({
            timed: profile === true,
            precision,
            ...memory !== undefined && { memoryBytes: memory },
          })
        ),
      );
    default:
      return backend satisfies never;
  }
}

/** Says so where the GPU is none. */
function notedAdapter(backend: GpuBackend): GpuBackend {
  if (backend.software) {
    note(`No graphics card: ${backend.adapter} is a software adapter, slower than --backend native or wasm`);
  }
  return backend;
}

/** Something needed for opening is missing, which the user can fix. */
async function asUsage<B extends Backend>(open: () => Promise<B>): Promise<B> {
  try {
    return await open();
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

/** The local path of the model: a hub id is downloaded. */
export const localSource: (source: string) => Promise<string> = (source) =>
  localPath(source, { onProgress: downloadNotes() });

/** As `localSource`, where shapes and tokenizer are sufficient: for a hub id no weights are fetched. */
export const localShapes: (source: string) => Promise<string> = (source) => localHeaders(source);

/** A model with its backend. */
export interface Opened {
  readonly backend: Backend;
  /** The model as loaded, with layers replicated where the adapter's folder says so. */
  readonly base: Model<Tokenizer>;
  /** The model with the adapter, if one was requested. */
  readonly model: Model<Tokenizer>;
  /** Frees everything. */
  close(): void;
}

/**
 * Loads the model named by flags, with the head that the adapter was trained with, and grafts the adapter.
 */
export async function openModel(
  flags: ModelFlags & { readonly adapter?: string },
  options: Pick<LoadOptions, "quantize" | "task" | "dtype" | "leaves"> = {},
): Promise<Opened> {
  const source = await modelSource(flags);
  const backend = await openBackend(flags);
  try {
    const task = options.task ?? (flags.adapter === undefined ? undefined : await loadTask(flags.adapter));
    const local = await localSource(source);
    const loaded = await loadModel(local, { backend, ...options, ...task !== undefined && { task } });
    const plain = { ...loaded, source };
    const base = flags.adapter === undefined ? plain : await modelOfAdapter(flags.adapter, plain);
    const model = flags.adapter === undefined
      ? base
      : graft(base, await openAdapter(flags.adapter, base, flags));
    return { backend, base, model, close: () => backend.close() };
  } catch (error) {
    backend.close();
    throw error;
  }
}

/** Loads an adapter for a model, and says so where it names another base: shapes that agree do not make it the right one. */
export async function openAdapter(
  source: string,
  model: Model,
  flags: Pick<ModelFlags, "outsideFolders" | "methodFile">,
): Promise<Adapter> {
  const adapter = await loadAdapter(source, model, await loadingOf(flags));
  const trainedOn = await baseModelName(source);
  if (trainedOn !== undefined && model.source !== undefined && !sameBaseName(trainedOn, model.source)) {
    note(
      `Note: the adapter ${source} was saved for "${trainedOn}" and fits "${model.source}" in shape; on another model than it was ` +
        "trained on its numbers mean nothing",
    );
  }
  return adapter;
}
