/** `graft methods --show <name>`: what is known of one method, from its definition. */
import type { MethodDefinition } from "../../core/mod.ts";
import type { Option } from "../../core/options/mod.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import { labelled, wrapped } from "../terminal/text.ts";

/** A method's names, its flags and its options, with their defaults, in so many columns. */
export function shownMethod(definition: MethodDefinition, width: number): string {
  const { name, title = name, aliases = [], published, summary } = definition;
  const { rate, flags, also = {} } = commandLineOf(definition);
  const own = Object.entries({ ...definition.options, ...also }).filter(([, { program }]) => !program);
  const rows = own.map(row);
  const label = Math.max(0, ...rows.map(([name]) => name.length));
  return [
    `${title}${title === name ? "" : ` (${name})`}${
      aliases.length === 0 ? "" : `, also ${aliases.join(", ")}`
    }`,
    summary,
    "",
    ...typeof published?.setting === "string" ? [`In its literature: ${published.setting}`] : [],
    `Learning rate: ${rate}`,
    `Flags: ${flags.length === 0 ? "none" : flags.map((flag) => `--${flag}`).join(", ")}`,
    own.length === 0 ? "It has no options." : "Options, as in --options '{\"name\": value}':",
  ].map((line) => wrapped(line, width)).concat(rows.map(([name, help]) => labelled(name, label, help, width)))
    .join("\n");
}

const row = ([name, option]: readonly [string, Option]): readonly [label: string, help: string] => [
  `  ${name}${option.default === undefined ? "" : `: ${JSON.stringify(option.default)}`}`,
  option.help,
];
