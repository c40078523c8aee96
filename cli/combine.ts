/** `graft combine`: several adapters of one model as one LoRA. */
import { type Adapter, dispose, leaves } from "../core/mod.ts";
import { modelOfAdapter } from "../io/layer_replication.ts";
import { loadAdapter } from "../io/load_adapter.ts";
import { newOutput } from "../io/new_output.ts";
import { saveAdapter } from "../io/save_adapter.ts";
import { type Combination, combine as combineAdapters, type Limit } from "../methods/mod.ts";
import { choice, type Command, integer, names, number, onePath } from "./terminal/arguments.ts";
import { checkOwn, UsageError } from "../tuning/usage_error.ts";
import { checkAdapterSize, tellsSize } from "./adapter_size.ts";
import { rankText } from "./convert/adapter.ts";
import {
  loadingOf,
  methodFileOption,
  type ModelFlags,
  modelFlags,
  openModel,
  outsideOption,
} from "./load.ts";
import { ADAPTERS_BASE, modelSource } from "./model_source.ts";
import { shownAdvance } from "./terminal/advance.ts";
import { print, printJson, showCount } from "./terminal/output.ts";

const METHODS = ["cat", "svd", "linear", "magnitudePrune", "ties", "dare"] as const;

interface CombineFlags extends ModelFlags {
  readonly output?: string;
  readonly method: typeof METHODS[number];
  readonly weights?: readonly string[];
  readonly density?: number;
  readonly elect?: "total" | "frequency";
  readonly then?: "linear" | "ties";
  readonly rank?: number;
  readonly error?: number;
  readonly seed?: number;
  readonly force?: true;
  readonly overwrite?: true;
  readonly quiet?: true;
  readonly json?: true;
}

/** Registers the command. */
export function combine(program: Command): void {
  modelFlags(
    program.command("combine")
      .description("Make one LoRA of several adapters, of any methods that change matrices alone")
      .argument("<adapters...>", "adapter folders or hub ids, all of one model"),
    ADAPTERS_BASE,
  )
    .addOption(outsideOption()).addOption(methodFileOption())
    .option("-o, --output <path>", "new folder, or new file that ends in .gguf", onePath)
    .addOption(choice("--method <name>", "how; see below", METHODS).default("cat"))
    .option("--weights <list>", "a number for each adapter, separated by commas; default 1 each", names)
    .option(
      "--density <p>",
      "of magnitudePrune, ties, dare: share to keep",
      number({ above: 0, to: 1 }),
    )
    .addOption(choice("--elect <by>", "of ties: an entry's sign by sum or by number", ["total", "frequency"]))
    .addOption(choice("--then <how>", "of dare: what follows the dropping", ["linear", "ties"]))
    .option("--rank <r>", "cut to this rank", integer())
    .option("--error <e>", "cut to this relative error", number({ from: 0, below: 1 }))
    .option("--seed <n>", "of dare; default 0", integer(0))
    .option("--force", "write an adapter that is larger than its model")
    .option("--overwrite", "replace an existing output")
    .option("--quiet", "do not show how far it is")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nMethods: cat joins the factors, exactly; svd and linear sum the updates;" +
        "\nmagnitudePrune, ties and dare thin them out first. All but cat keep what f32 can" +
        "\ntell unless --rank or --error cuts; svd needs one of them." +
        "\n\nExample:\n  graft combine german polite -o both --method ties --density 0.2 --rank 16",
    )
    .action((adapters: readonly string[], flags: CombineFlags) => run(adapters, flags));
}

async function run(sources: readonly string[], flags: CombineFlags): Promise<void> {
  const { output } = flags;
  if (output === undefined) throw new UsageError("Expected --output");
  const how = combinationOf(flags);
  const weights = weightsOf(sources, flags);
  const place = newOutput(output, flags.overwrite ?? false);
  const opened = await openModel({ ...flags, model: await modelSource({ ...flags, adapter: sources[0]! }) });
  try {
    const model = await modelOfAdapter(sources[0]!, opened.model);
    const adapters: Adapter[] = [];
    for (const source of sources) adapters.push(await loadAdapter(source, model, await loadingOf(flags)));
    const combined = await shownAdvance(
      flags,
      "Combining",
      "layers",
      (advanced) => combineAdapters(model, adapters, weights, how, undefined, { advanced }),
    );
    const format = output.endsWith(".gguf") ? "gguf" : "peft";
    checkAdapterSize(model, combined.adapter, {
      force: flags.force === true,
      change: how.method === "cat" ? "--method svd --rank 16" : "--rank or --error",
      ...tellsSize(flags) && { output },
    });
    await place.write((path) => saveAdapter(path, combined.adapter, model, { format }));
    const parameters = leaves(combined.adapter.params).reduce((n, [, t]) => n + t.size, 0);
    const { error, errors } = combined;
    if (flags.json) printJson({ output, format, ...how, weights, parameters, error, errors });
    else {
      print(
        `${output}: ${
          adapters.map(({ method }) => method.name).join(" + ")
        } by ${how.method} as LoRA of rank ` +
          `${rankText(combined.adapter)}, ${showCount(parameters)} parameters; relative error of the cut ${
            error.toPrecision(3)
          }`,
      );
    }
    dispose([combined.adapter.params, ...adapters.map(({ params }) => params)]);
  } finally {
    opened.close();
  }
}

/** Options of each method. */
const OWN = {
  cat: [],
  svd: ["rank", "error"],
  linear: ["rank", "error"],
  magnitudePrune: ["density", "rank", "error"],
  ties: ["density", "elect", "rank", "error"],
  dare: ["density", "then", "elect", "seed", "rank", "error"],
} as const satisfies Record<typeof METHODS[number], readonly (keyof CombineFlags)[]>;

/** @throws {UsageError} when an option is missing, or has no effect for the method. */
function combinationOf(flags: CombineFlags): Combination {
  const { method, density, elect, then, rank, error } = flags;
  checkOwn(flags, ["density", "elect", "then", "rank", "error", "seed"], OWN[method]);
  if (rank !== undefined && error !== undefined) {
    throw new UsageError("Expected --rank or --error but found both");
  }
  if (elect !== undefined && method === "dare" && then !== "ties") {
    throw new UsageError("Cannot use --elect with --method dare unless --then ties follows");
  }
  const limit: Limit | undefined = rank !== undefined
    ? { rank }
    : error !== undefined
    ? { error }
    : undefined;
  const cut = limit === undefined ? {} : { limit };
  if (method === "cat") return { method };
  if (method === "svd") {
    if (limit === undefined) throw new UsageError("Expected --rank or --error with --method svd");
    return { method, limit };
  }
  if (method === "linear") return { method, ...cut };
  if (density === undefined) throw new UsageError(`Expected --density with --method ${method}`);
  const voted = elect === undefined ? {} : { elect };
  switch (method) {
    case "magnitudePrune":
      return { method, density, ...cut };
    case "ties":
      return { method, density, ...voted, ...cut };
    case "dare":
      return { method, density, ...then && { then }, ...voted, key: flags.seed ?? 0, ...cut };
    default:
      return method satisfies never;
  }
}

function weightsOf(sources: readonly string[], { weights }: CombineFlags): readonly number[] {
  if (weights === undefined) return sources.map(() => 1);
  const numbers = weights.map(Number);
  const bad = weights.find((_, i) => !Number.isFinite(numbers[i]));
  if (bad !== undefined) {
    throw new UsageError(`Expected --weights to be numbers separated by commas but found "${bad}"`);
  }
  if (numbers.length !== sources.length) {
    throw new UsageError(
      `Expected one weight for each adapter, ${sources.length} in all, but found ${numbers.length} in --weights`,
    );
  }
  return numbers;
}
