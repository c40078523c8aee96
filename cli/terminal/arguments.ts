/**
 * Argument parsing: the only file that uses the library for it. Commands use the `Command` below and the
 * typed readers of option values; invalid arguments end the program with exit code 2.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../../tuning/usage_error.ts";

export { Command, InvalidArgumentError, Option };

/** Ends the program with an exit code, without further output. */
export class Exit extends Error {
  override readonly name = "Exit";
  readonly code: number;
  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** Reads an option's value; knows its form in a file. */
export interface Reader<T = unknown> {
  (text: string, earlier?: T): T;
  /** JSON Schema of the value in a file; default a string. */
  readonly schema?: Readonly<Record<string, unknown>>;
  /** The command line's form of a file's value; default: items between commas, objects as JSON. */
  readonly textOf?: (value: unknown) => string | undefined;
}

/** A reader whose values have another form in a file than a string. */
export function reader<T>(
  read: (text: string, earlier?: T) => T,
  schema: Readonly<Record<string, unknown>>,
  textOf?: (value: unknown) => string | undefined,
): Reader<T> {
  return Object.assign((text: string, earlier?: T) => read(text, earlier), {
    schema,
    ...textOf !== undefined && { textOf },
  });
}

/** An integer with a minimum value. */
export function integer(least = 1): Reader<number> {
  return reader((text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`Expected an integer from ${least} but found "${text}"`);
    }
    return value;
  }, { type: "integer", minimum: least });
}

/** A number in a range; `above` excludes the lower end. */
export function number(
  range: { readonly from?: number; readonly above?: number; readonly to?: number; readonly below?: number } =
    {},
): Reader<number> {
  const { from = -Infinity, above = -Infinity, to = Infinity, below = Infinity } = range;
  return reader((text) => {
    const value = Number(text);
    const good = text.trim() !== "" && value >= from && value > above && value <= to && value < below;
    if (!good || !Number.isFinite(value)) {
      const bounds = [
        ...from > -Infinity ? [`from ${from}`] : [],
        ...above > -Infinity ? [`above ${above}`] : [],
        ...to < Infinity ? [`to ${to}`] : [],
        ...below < Infinity ? [`below ${below}`] : [],
      ].join(" ");
      throw new InvalidArgumentError(`Expected a number ${bounds} but found "${text}"`.replace("  ", " "));
    }
    return value;
  }, {
    type: "number",
    ...from > -Infinity && { minimum: from },
    ...above > -Infinity && { exclusiveMinimum: above },
    ...to < Infinity && { maximum: to },
    ...below < Infinity && { exclusiveMaximum: below },
  });
}

/** Bytes: "48GB", "512 MiB", "1e9". */
export const bytes: Reader<number> = reader((text) => {
  const match = /^([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?) ?([kmgt]?)(i?)b?$/i.exec(text.trim());
  if (match === null) {
    throw new InvalidArgumentError(`Expected a size such as 48GB or 512MiB but found "${text}"`);
  }
  const power = ["", "k", "m", "g", "t"].indexOf(match[2]!.toLowerCase());
  return Number(match[1]) * (match[3] === "" ? 1000 : 1024) ** power;
}, { type: ["string", "integer"] });

/** Names separated by commas. */
export const names: Reader<readonly string[]> = reader<readonly string[]>((text) => {
  const found = text.split(",").map((name) => name.trim()).filter((name) => name !== "");
  if (found.length === 0) {
    throw new InvalidArgumentError(`Expected names separated by commas but found "${text}"`);
  }
  return found;
}, { type: ["string", "array"], items: { type: "string" } });

/** A file or folder: nonempty, and given only once, since a second one would silently replace the first. */
export function onePath(text: string, earlier?: string): string {
  if (text === "") throw new InvalidArgumentError("Expected a path but found nothing");
  if (earlier === undefined) return text;
  throw new InvalidArgumentError(`Expected one but found "${earlier}" and "${text}"`);
}

/** An option that may be repeated. */
export function repeated(text: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, text];
}

/** An option whose value is a string, or the result of a reader. */
export function option(
  flags: string,
  description: string,
  read?: (text: string) => unknown,
  otherwise?: unknown,
): Option {
  const made = new Option(flags, description);
  if (read !== undefined) made.argParser(read);
  return otherwise === undefined ? made : made.default(otherwise);
}

/** An option with a closed set of values. */
export function choice(flags: string, description: string, values: readonly string[]): Option {
  return new Option(flags, description).choices(values);
}

/** An option that only `--help-all` shows. */
export function rare(option: Option): Option {
  return option.hideHelp();
}

/** An option of what happens now, such as what is printed: no file of a run has it. */
export function momentary(option: Option): Option {
  return Object.assign(option, { momentary: true });
}

/** Whether an option says what happens now, not what the run is. */
export const isMomentary = (option: Option & { readonly momentary?: true }): boolean =>
  option.momentary === true;

/** The program, without commands. */
export function newProgram(name: string, description: string, version: string): Command {
  const width = (): number => 80;
  return new Command(name).description(description).version(version)
    .configureHelp({ helpWidth: 80, subcommandTerm: (command) => command.name() })
    .configureOutput({
      ...{ getOutHelpWidth: width, getErrHelpWidth: width, outputError: () => {} },
      // The library would read the environment, which needs a permission.
      ...{ getOutHasColors: () => false, getErrHasColors: () => false },
    })
    .exitOverride().showSuggestionAfterError(true);
}

/** Adds `--help-all` to a command that has rare options. */
export function helpAll(command: Command): Command {
  return command.addOption(momentary(new Option("--help-all", "show every option"))).on(
    "option:help-all",
    () => {
      for (const option of command.options) option.hidden = false;
      command.outputHelp();
      throw new Exit(0);
    },
  );
}

/**
 * Runs a program and returns its exit code: 0 done, 1 failed, 2 wrong usage, or that of an `Exit` thrown by a
 * command. Reports errors through `complain`.
 */
export async function runProgram(
  program: Command,
  args: readonly string[],
  complain: (error: unknown) => void,
): Promise<number> {
  try {
    await program.parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof Exit) return error.code;
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      const [first, second] = args;
      const unknown = first === "help" && second !== undefined && error.code === "commander.help";
      complain(new UsageError(unknown ? `Unknown command '${second}'` : plain(error.message)));
      return 2;
    }
    complain(error);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** The library's messages begin with "error: " and end with a full stop or a suggestion in brackets. */
function plain(message: string): string {
  const text = message.replace(/^error: /, "").replace(/\n\((.*?)\)$/s, "; $1").replace(/\.$/, "");
  return text === "(outputHelp)" ? "Expected a command" : text.charAt(0).toUpperCase() + text.slice(1);
}
