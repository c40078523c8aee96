/**
 * A command's options as a file, YAML or JSON: the keys are the long names of the flags, and what the command line says
 * comes first.
 *
 *     model: HuggingFaceTB/SmolLM2-135M-Instruct
 *     data: train.jsonl
 *     method: dora
 *     rank: 4
 *     targets: [q_proj, v_proj]
 */
import { readFileSync } from "node:fs";
import { isMap, parseDocument, stringify } from "yaml";
import { closest } from "../../core/options/closest.ts";
import { isObject } from "../../formats/strict_json.ts";
import { UsageError } from "../../tuning/usage_error.ts";
import { type Command, isMomentary, type Option, type Reader } from "./arguments.ts";

/** Where a value of an option came from, in the words of the library that reads arguments. */
const FROM_FILE = "config";

/**
 * Gives a command the values of a file, except for options that the command line has set.
 *
 * @param path A YAML or JSON file. Paths in it are relative to the working folder, as in the command line.
 * @throws {UsageError} on what is no mapping, an unknown key or a value that the option refuses.
 */
export function applyRunFile(command: Command, path: string): void {
  const settable = new Map(settings(command).map((option) => [nameOf(option), option]));
  for (const [key, value] of Object.entries(readMapping(path))) {
    if (key === "$schema" || value === null) continue;
    const option = settable.get(key);
    if (option === undefined) {
      const near = closest(key, [...settable.keys()]);
      throw new UsageError(
        `${path} has an unknown key "${key}"${near === undefined ? "" : `: did you mean "${near}"?`}`,
      );
    }
    const attribute = option.attributeName();
    if (command.getOptionValueSource(attribute) === "cli") continue;
    const read = valueOf(option, value, path);
    if (read !== undefined) command.setOptionValueWithSource(attribute, read, FROM_FILE);
  }
}

/** The options that were given, by a file or on the command line, as a YAML file. */
export function runFileText(command: Command): string {
  const given = settings(command).flatMap((option) => {
    const attribute = option.attributeName();
    const source = command.getOptionValueSource(attribute);
    return source === "cli" || source === FROM_FILE
      ? [[nameOf(option), command.getOptionValue(attribute) as unknown] as const]
      : [];
  });
  return stringify(Object.fromEntries(given));
}

/** The JSON Schema (draft 2020-12) of a command's file, from which editors complete and check it. */
export function runFileSchema(command: Command, title: string): Readonly<Record<string, unknown>> {
  const properties = settings(command).map((option) => [nameOf(option), {
    description: option.description,
    ...schemaOf(option),
    ...option.defaultValue !== undefined && { default: option.defaultValue as unknown },
  }]);
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title,
    type: "object",
    properties: { $schema: { type: "string" }, ...Object.fromEntries(properties) },
    additionalProperties: false,
  };
}

const settings = (command: Command): readonly Option[] =>
  command.options.filter((option) => option.long !== undefined && !isMomentary(option));

const nameOf = (option: Option): string => option.long!.replace(/^--/, "");

function readMapping(path: string): Readonly<Record<string, unknown>> {
  const document = parseDocument(readFileSync(path, "utf8"));
  const [error] = document.errors;
  if (error !== undefined) throw new UsageError(`Cannot read ${path}: ${error.message.split("\n")[0]}`);
  if (!isMap(document.contents)) {
    throw new UsageError(`Expected ${path} to have lines such as "rank: 8", or a JSON object`);
  }
  return document.toJS() as Readonly<Record<string, unknown>>;
}

/** The value that the flag would have. Undefined where it is as if not given. */
function valueOf(option: Option, value: unknown, path: string): unknown {
  const wrong = (what: string): UsageError =>
    new UsageError(`Expected ${nameOf(option)} in ${path} to be ${what} but found ${JSON.stringify(value)}`);
  if (option.isBoolean()) {
    if (typeof value !== "boolean") throw wrong("true or false");
    return value ? true : undefined;
  }
  const reader = option.parseArg as Reader | undefined;
  const choices = option.argChoices;
  if (choices !== undefined) {
    if (!choices.includes(String(value))) throw wrong(`one of ${choices.join(", ")}`);
    return String(value);
  }
  const text = reader?.textOf?.(value) ?? textOf(value);
  if (text === undefined) throw wrong("text or a number");
  try {
    return reader === undefined ? text : reader(text, undefined);
  } catch (error) {
    throw new UsageError(`${path}, ${nameOf(option)}: ${(error as Error).message}`);
  }
}

function textOf(value: unknown): string | undefined {
  if (Array.isArray(value)) return value.every(isScalar) ? value.join(",") : undefined;
  if (isObject(value)) return JSON.stringify(value);
  return isScalar(value) ? String(value) : undefined;
}

const isScalar = (value: unknown): boolean => typeof value === "string" || typeof value === "number";

function schemaOf(option: Option): Readonly<Record<string, unknown>> {
  if (option.isBoolean()) return { type: "boolean" };
  if (option.argChoices !== undefined) return { enum: option.argChoices };
  return (option.parseArg as Reader | undefined)?.schema ?? { type: "string" };
}
