/**
 * `graft completion`: a script for shell completion of commands, options and values, generated from the
 * program itself.
 */
import { type Command, InvalidArgumentError, type Option } from "./terminal/arguments.ts";
import { trainableNames } from "../tuning/chosen_method.ts";
import { print } from "./terminal/output.ts";

/** The supported shells. */
export type Shell = "bash" | "zsh" | "fish";

const SHELLS: readonly Shell[] = ["bash", "zsh", "fish"];

/** An option as shells see it. */
interface Flag {
  readonly long: string;
  readonly short?: string;
  readonly description: string;
  /** Present if a value follows, with its possible values; empty: any value, such as a file. */
  readonly values?: readonly string[];
}

/** A command as shells see it. */
interface Entry {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly Flag[];
}

/** The command that comes with the argument parser. */
const HELP = { name: "help", description: "show the help of a command" };

/** Registers the command. */
export function completion(program: Command): void {
  program.command("completion")
    .description("Print a script by which a shell completes your command lines")
    .argument("<shell>", SHELLS.join(", "), (name): Shell => {
      const shell = SHELLS.find((known) => known === name);
      if (shell === undefined) {
        throw new InvalidArgumentError(`Expected ${SHELLS.join(", ")} but found "${name}"`);
      }
      return shell;
    })
    .addHelpText(
      "after",
      "\nExamples:\n  graft completion bash >> ~/.bashrc\n" +
        "  graft completion zsh > ~/.zfunc/_graft\n" +
        "  graft completion fish > ~/.config/fish/completions/graft.fish",
    )
    .action((shell: Shell) => print(completionScript(program, shell)));
}

/** The script for a shell. */
export function completionScript(program: Command, shell: Shell): string {
  const entries = program.commands.map((command): Entry => ({
    name: command.name(),
    description: plain(command.description()),
    flags: command.options.filter((option) => !["--one", "--debug"].includes(option.long ?? "")).map(flagOf),
  }));
  switch (shell) {
    case "bash":
      return bash(entries);
    case "zsh":
      return zsh(entries);
    case "fish":
      return fish(entries);
    default:
      return shell satisfies never;
  }
}

function flagOf(option: Option): Flag {
  const takes = option.required || option.optional;
  const values = option.argChoices ?? (option.long === "--method" ? trainableNames() : []);
  return {
    long: option.long ?? "",
    ...option.short !== undefined && { short: option.short },
    description: plain(option.description),
    ...takes && { values },
  };
}

/** One line without characters that shells interpret. */
function plain(text: string): string {
  return text.replace(/\s+/g, " ").replace(/["`$\\]/g, "").replace(/\.$/, "");
}

const quoted = (text: string): string => `'${text.replace(/'/g, "'\\''")}'`;

function bash(entries: readonly Entry[]): string {
  const words = (list: readonly string[]): string =>
    `COMPREPLY=($(compgen -W "${list.join(" ")}" -- "$cur"))`;
  const commands = entries.map(({ name }) => name);
  const namesOf = ({ long, short }: Flag): readonly string[] => short === undefined ? [long] : [short, long];
  const valued = entries.flatMap(({ name, flags }) =>
    flags.filter(({ values }) => values !== undefined && values.length > 0).map((flag) =>
      `    ${namesOf(flag).map((f) => `"${name} ${f}"`).join("|")}) ${words(flag.values!)}; return ;;`
    )
  );
  return `# graft: completion for bash
_graft() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  # --option=value comes as three words.
  [ "$prev" = "=" ] && prev=\${COMP_WORDS[COMP_CWORD-2]}
  if [ "$cur" = "=" ]; then prev=\${COMP_WORDS[COMP_CWORD-1]} cur=; fi
  if [ "$COMP_CWORD" -eq 1 ]; then
    ${words(["help", ...commands])}
    return
  fi
  case "$command $prev" in
${valued.join("\n")}
  esac
  if [ "$command" = completion ]; then ${words(SHELLS)}; return; fi
  if [ "$command" = help ]; then ${words(commands)}; return; fi
  if [[ "$cur" == -* ]]; then
    case "$command" in
${
    entries.map(({ name, flags }) =>
      `      ${name}) ${words(["--help", ...flags.map(({ long }) => long)])} ;;`
    ).join("\n")
  }
    esac
  fi
}
# Where nothing was offered, files, as the shell itself completes them.
complete -o default -F _graft graft`;
}

function zsh(entries: readonly Entry[]): string {
  const text = (description: string): string => description.replace(/[[\]:]/g, (mark) => `\\${mark}`);
  const flag = ({ long, description, values }: Flag): string => {
    const then = values === undefined
      ? ""
      : values.length === 0
      ? ":value:_files"
      : `:value:(${values.join(" ")})`;
    // The star: some options may be repeated, such as --grid.
    return quoted(`${values === undefined ? "" : "*"}${long}[${text(description)}]${then}`);
  };
  const rest = (name: string): string =>
    name === "completion" ? quoted(`1:shell:(${SHELLS.join(" ")})`) : "'*:file:_files'";
  return `#compdef graft
_graft() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${
    [HELP, ...entries].map(({ name, description }) => `      ${quoted(`${name}:${text(description)}`)}`).join(
      "\n",
    )
  }
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
    help) _arguments ${quoted(`1:command:(${entries.map(({ name }) => name).join(" ")})`)} ;;
${
    entries.map(({ name, flags }) =>
      `    ${name}) _arguments ${
        ["'--help[show help]'", ...flags.map(flag), rest(name)].join(" \\\n      ")
      } ;;`
    ).join("\n")
  }
  esac
}
_graft "$@"`;
}

function fish(entries: readonly Entry[]): string {
  const text = (description: string): string => `'${description.replace(/'/g, "\\'")}'`;
  const lines = entries.flatMap(({ name, description, flags }) => [
    `complete -c graft -n __fish_use_subcommand -f -a ${name} -d ${text(description)}`,
    ...flags.map(({ long, short, description, values }) =>
      [
        `complete -c graft -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)}`,
        ...short === undefined ? [] : [`-s ${short.slice(1)}`],
        ...values === undefined ? [] : values.length === 0 ? ["-r"] : [`-x -a '${values.join(" ")}'`],
        `-d ${text(description)}`,
      ].join(" ")
    ),
  ]);
  const after = (command: string, words: readonly string[]): string =>
    `complete -c graft -n '__fish_seen_subcommand_from ${command}' -f -a '${words.join(" ")}'`;
  const names = entries.map(({ name }) => name);
  return [
    "# graft: completion for fish",
    ...lines,
    `complete -c graft -n __fish_use_subcommand -f -a ${HELP.name} -d ${text(HELP.description)}`,
    after("completion", SHELLS),
    after("help", names),
  ].join("\n");
}
