/** `graft methods --show <name>`: what is known of one method, from its definition. */
import type { MethodDefinition } from "../../core/mod.ts";
import type { Option } from "../../core/options/mod.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import { table } from "../terminal/output.ts";

/** A method's names, its flags and its options, with their defaults. */
export function shownMethod(definition: MethodDefinition): string {
  const { name, title = name, aliases = [], published } = definition;
  const { rate, flags, also = {} } = commandLineOf(definition);
  const own = Object.entries({ ...definition.options, ...also }).filter(([, { program }]) => !program);
  return [
    `${title}${title === name ? "" : ` (${name})`}${
      aliases.length === 0 ? "" : `, also ${aliases.join(", ")}`
    }`,
    ...typeof published?.setting === "string" ? [`In its literature: ${published.setting}`] : [],
    `Learning rate: ${rate}`,
    `Flags: ${flags.length === 0 ? "none" : flags.map((flag) => `--${flag}`).join(", ")}`,
    own.length === 0 ? "It has no options." : "Options, as in --options '{\"name\": value}':",
    ...own.length === 0 ? [] : [table([["option", "default", "what it is"], ...own.map(row)])],
  ].join("\n");
}

const row = ([name, option]: readonly [string, Option]): readonly string[] => [
  name,
  option.default === undefined ? "" : JSON.stringify(option.default),
  option.help,
];
