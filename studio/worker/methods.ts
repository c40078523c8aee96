/** The methods and the settings of training, from their definitions; and what each method costs on a model. */
import { count, dispose, leaves, type MethodDefinition, type Model } from "../../core/mod.ts";
import type { Option } from "../../core/options/mod.ts";
import { errorCode } from "../../errors/error.ts";
import { knownMethods } from "../../io/records/known_methods.ts";
import { checkpointShapes } from "../../io/model_shapes.ts";
import { FAMILIES } from "../../methods/index.ts";
import { events } from "../../recipes/supervised.ts";
import { newProgram } from "../../cli/terminal/arguments.ts";
import { runFileSchema } from "../../cli/terminal/run_file.ts";
import { commandLineOf, isTrainable, SHARED } from "../../tuning/chosen_method.ts";
import { plannedAdapter } from "../../tuning/planned_adapter.ts";
import { shortRateOf } from "../../tuning/short_rate.ts";
import type { Family, JsonValue, MethodCost, MethodInfo, Setting } from "../protocol.ts";
import { finetuneCommand } from "./commands.ts";

/** Every method that can be trained, by family. */
export function families(): readonly Family[] {
  return Object.entries(FAMILIES).flatMap(([name, definitions]) => {
    const methods = definitions.filter(isTrainable).map(methodInfo);
    return methods.length === 0 ? [] : [{ name: name.replaceAll("_", " "), methods }];
  });
}

function methodInfo(definition: MethodDefinition): MethodInfo {
  const { name, title = name, summary } = definition;
  const { also = {}, flags, standard } = commandLineOf(definition);
  const options = Object.entries({ ...definition.options, ...also }).filter(([, { program }]) => !program);
  return {
    name,
    title,
    summary,
    rate: shortRateOf(definition),
    ...standard && { standard },
    options: options.map(([option, schema]) =>
      setting(option, schema, (flags as readonly string[]).includes(option))
    ),
  };
}

function setting(name: string, { help, what, default: otherwise }: Option, first: boolean): Setting {
  const choices = choicesIn(what);
  return {
    name,
    help,
    what,
    ...choices && { choices },
    ...what === "true or false" && { isFlag: true },
    ...isJson(otherwise) && { default: otherwise },
    ...first && { first },
  };
}

/** The values of a closed set of texts, from its description: `"a", "b" or "c"`. */
export function choicesIn(what: string): readonly string[] | undefined {
  return /^"[^"]*"((, | or )"[^"]*")+$/.test(what)
    ? [...what.matchAll(/"([^"]*)"/g)].map(([, text]) => text!)
    : undefined;
}

const isJson = (value: unknown): value is JsonValue =>
  value !== undefined && JSON.stringify(value) !== undefined && !(value instanceof RegExp);

/** What stands first. */
const FIRST = ["learning-rate", "epochs", "max-steps", "batch-size", "max-length", "seed"];
/** What is chosen elsewhere on the page, or is no matter of a tab. */
const ELSEWHERE: readonly string[] = [
  ...SHARED,
  ...["method", "options", "model", "data", "output", "backend", "threads"],
  ...["precision", "memory", "report", "eval-data", "from", "teacher", "keep-checkpoint", "objective"],
];

/** The settings of `graft finetune` that are a tab's, from their schema. */
export function trainingSettings(): readonly Setting[] {
  const schema = runFileSchema(finetuneCommand(newProgram("graft", "", "0.0.0")), "a run");
  const properties = schema["properties"] as Readonly<Record<string, Property>>;
  const all = Object.entries(properties).filter(([name]) =>
    !name.startsWith("$") && !ELSEWHERE.includes(name)
  );
  return all.map(([name, property]) => ({
    name,
    help: property.description ?? name,
    what: whatOf(property),
    ...property.enum && { choices: property.enum },
    ...property.type === "boolean" && { isFlag: true as const },
    ...property.default !== undefined && { default: property.default },
    ...FIRST.includes(name) && { first: true as const },
  })).sort((a, b) => rank(a.name) - rank(b.name));
}

const rank = (name: string): number => (FIRST.indexOf(name) + FIRST.length + 1) % (FIRST.length + 1);

interface Property {
  readonly description?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly default?: JsonValue;
}

function whatOf({ type }: Property): string {
  const [first] = typeof type === "string" ? [type] : type ?? ["string"];
  return first === "integer"
    ? "a whole number"
    : first === "number"
    ? "a number"
    : first === "boolean"
    ? "yes or no"
    : "a text";
}

/** Tells what each method costs on a model, one after another, while others may be asked. */
export async function tellCosts(
  name: string,
  tell: (cost: MethodCost) => void,
  ended: () => boolean,
): Promise<void> {
  const model = checkpointShapes(name);
  try {
    for (const definition of Object.values(FAMILIES).flat().filter(isTrainable)) {
      await events();
      if (ended()) return;
      tell(costOf(model, definition));
    }
  } finally {
    model.dispose();
  }
}

/** What a method with its defaults trains and keeps, from shapes. */
export function costOf(model: Model, definition: MethodDefinition): MethodCost {
  const method = definition.name;
  try {
    const chosen = { method, definition, known: knownMethods(), own: [], seed: 0 };
    const adapter = plannedAdapter(model, chosen);
    try {
      const { trainable } = count(model, adapter);
      return {
        method,
        trainable,
        bytes: leaves(adapter.params).reduce((sum, [, leaf]) => sum + leaf.bytes, 0),
      };
    } finally {
      dispose(adapter.params);
    }
  } catch (error) {
    if (!(error instanceof Error) || errorCode(error) === undefined && !(error.name === "UsageError")) {
      throw error;
    }
    return { method, refused: error.message };
  }
}
