/** `graft embed`: vectors of texts. */
import { graft } from "../core/mod.ts";
import { writeTextAtomically } from "../formats/atomic_write.ts";
import { embedTexts, loadEmbedder } from "../io/sentence_transformers.ts";
import { modelOfAdapter } from "../io/layer_replication.ts";
import { readRecords, textField } from "../train/mod.ts";
import { renamedRecord } from "../train/record_shapes.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { dataSource } from "./data_source.ts";
import {
  dtypeFlag,
  type DtypeFlags,
  dtypeOf,
  localSource,
  type ModelFlags,
  modelFlags,
  openAdapter,
  openBackend,
} from "./load.ts";
import { ADAPTERS_BASE, modelSource } from "./model_source.ts";
import { choice, type Command, helpAll, integer, onePath, option, repeated } from "./terminal/arguments.ts";
import { print } from "./terminal/output.ts";

interface EmbedFlags extends ModelFlags, DtypeFlags {
  readonly adapter?: string;
  readonly text?: readonly string[];
  readonly data?: string;
  readonly field: string;
  readonly prompt?: string;
  readonly pooling?: "mean" | "max" | "first" | "last";
  readonly batchSize: number;
  readonly output?: string;
}

const EXAMPLE = `
Example:
  graft embed -m all-MiniLM-L6-v2 --text "where is my parcel?"
  graft embed -m base -a tuned -d texts.parquet --field summary -o v.jsonl`;

/** Registers the command. */
export function embed(program: Command): void {
  const command = program.command("embed")
    .description("Turn texts into vectors, as sentence-transformers does");
  dtypeFlag(modelFlags(command, ADAPTERS_BASE))
    .option("-a, --adapter <folder>", "adapter folder to graft onto the model", onePath)
    .addOption(option("--text <text>", "a text; may be repeated", repeated))
    .option("-d, --data <path|id>", "texts: a file, a folder or a hub id", onePath)
    .option("--field <name>", "field of the texts", "text")
    .option("--prompt <name>", "prompt of the model to put before each")
    .addOption(
      choice("--pooling <which>", "default by the folder, else mean, of decoders last", [
        "mean",
        "max",
        "first",
        "last",
      ]),
    )
    .option("--batch-size <n>", "texts per pass", integer(), 16)
    .option("-o, --output <file>", "JSON Lines in place of standard output", onePath);
  helpAll(command).addHelpText("after", EXAMPLE).action(async () => await run(command.opts<EmbedFlags>()));
}

async function run(flags: EmbedFlags): Promise<void> {
  const texts = await textsOf(flags);
  const source = await modelSource(flags);
  const backend = await openBackend(flags);
  try {
    const loaded = await loadEmbedder(await localSource(source), { backend, ...dtypeOf(flags) });
    const plain = { ...loaded.model, source };
    const { adapter } = flags;
    const base = adapter === undefined ? plain : await modelOfAdapter(adapter, plain);
    const model = adapter === undefined ? base : graft(base, await openAdapter(adapter, base, flags));
    const embedder = { ...loaded, model, ...flags.pooling && { pooling: flags.pooling } };
    const vectors = await embedTexts(embedder, texts, {
      batchSize: flags.batchSize,
      ...flags.prompt !== undefined && { prompt: flags.prompt },
    });
    const lines = texts.map((text, i) => JSON.stringify({ text, embedding: Array.from(vectors[i]!) }));
    if (flags.output === undefined) lines.forEach(print);
    else await writeTextAtomically(flags.output, `${lines.join("\n")}\n`);
  } finally {
    backend.close();
  }
}

async function textsOf({ text, data, field }: EmbedFlags): Promise<readonly string[]> {
  if ((text === undefined) === (data === undefined)) {
    throw new UsageError("Expected --text or --data: the texts that become vectors");
  }
  if (text !== undefined) return text;
  return await Array.fromAsync(
    readRecords(await dataSource(data!)),
    (record) => textField(field === "text" ? record : renamedRecord(record, { text: field }), "text"),
  );
}
