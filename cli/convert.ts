/** `graft convert`: an adapter or a model in another program's format. */
import { localSource, methodFileOption, modelFlags, outsideOption } from "./load.ts";
import { ADAPTERS_BASE } from "./model_source.ts";
import { inspectPath } from "../io/inspect.ts";
import { choice, type Command, integer, number } from "./terminal/arguments.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { ADAPTER_FORMATS, convertAdapter } from "./convert/adapter.ts";
import type { ConvertFlags } from "./convert/flags.ts";
import { convertModel, MODEL_DTYPES, MODEL_FORMATS } from "./convert/model.ts";
import { typeError } from "../errors/error.ts";

/** Registers the command. */
export function convert(program: Command): void {
  modelFlags(
    program.command("convert")
      .description("Write an adapter or a model in another format, for PEFT, transformers or llama.cpp")
      .argument("<source>", "adapter or model: folder, .gguf file or hub id")
      .argument("<target>", "new folder, or new file that ends in .gguf"),
    ADAPTERS_BASE,
  )
    .addOption(
      choice("--to <format>", "default by the target: gguf for a file; for a folder peft, or safetensors", [
        ...ADAPTER_FORMATS,
        ...MODEL_FORMATS.filter((format) => format !== "gguf"),
      ]),
    )
    .option("--name <name>", "which adapter of a folder that holds several")
    .addOption(outsideOption()).addOption(methodFileOption())
    .option("--rank <r>", "write any mergeable adapter as LoRA of this rank", integer())
    .option(
      "--error <e>",
      "write any mergeable adapter as LoRA of the least rank with this relative error",
      number({ from: 0, below: 1 }),
    )
    .addOption(
      choice(
        "--dtype <type>",
        "of a model's weights; default as stored",
        MODEL_DTYPES,
      ),
    )
    .option("--requantize", "allow weights that are quantized already")
    .option("--force", "write an adapter that is larger than its model")
    .option("--overwrite", "replace an existing target")
    .option("--ollama <name>", "also a Modelfile, for ollama create")
    .option("--quiet", "do not show how far it is")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  graft convert my-adapter adapter.gguf --model HuggingFaceTB/SmolLM2-135M\n" +
        "  graft convert my-dora lora.gguf --model base --rank 16\n" +
        "  graft convert model.gguf out --to bitsandbytes --dtype nf4_double --requantize",
    )
    .action((source: string, target: string, flags: ConvertFlags) => run(source, target, flags));
}

async function run(given: string, target: string, flags: ConvertFlags): Promise<void> {
  if (flags.rank !== undefined && flags.error !== undefined) {
    throw new UsageError("Expected --rank or --error but found both");
  }
  const source = await localSource(given);
  const found = await inspectPath(source);
  switch (found.kind) {
    case "model":
      return await convertModel(source, found, target, flags);
    case "adapter":
      return await convertAdapter(source, found, target, flags);
    case "adapters": {
      const chosen = found.adapters.find(({ name }) => name === flags.name);
      if (chosen !== undefined) return await convertAdapter(source, chosen, target, flags);
      const names = found.adapters.map(({ name }) => name ?? "default").join(", ");
      throw new UsageError(`"${given}" holds the adapters ${names}: say which with --name`);
    }
    case "tensors":
      throw typeError(
        "INVALID_ARGUMENT",
        `Cannot convert "${given}": it holds tensors, but neither a model nor an adapter`,
      );
    default:
      return found satisfies never;
  }
}
