/** Command lines in documents, checked against the tables they name: the options of `graft`, the tasks, the files. */
import { existsSync } from "node:fs";
import { runProgram } from "../../cli/terminal/arguments.ts";
import { graftProgram } from "../../cli/program.ts";
import configuration from "../../deno.json" with { type: "json" };

/** Programs of others that documents may name; what they take is theirs to say. */
const OTHERS = [
  "apt-get",
  "cd",
  "chromium",
  "curl",
  "export",
  "git",
  "llama-cli",
  "llama-server",
  "ls",
  "mkdir",
  "ollama",
  "pip",
  "python",
  "python3",
  "rustup",
  "source",
  "vllm",
];

/** The commands of a shell text: comments dropped, lines joined, words unquoted. */
export function commandsOf(text: string): readonly (readonly string[])[] {
  const commands: string[][] = [];
  for (const line of text.replace(/\\\n/g, " ").split("\n")) {
    let words: string[] = [];
    const done = (): void => {
      if (words.length > 0) commands.push(words);
      words = [];
    };
    for (
      const [token] of line.matchAll(
        /#.*$|&&|\|\||[|;&]|(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'|;&#\\]|(?<=\S)#)+/g,
      )
    ) {
      if (token.startsWith("#")) break;
      if (/^(&&|\|\||[|;&])$/.test(token)) done();
      else if (words.length > 0 || !/^[A-Z_]+=/.test(token)) words.push(unquoted(token));
    }
    done();
  }
  return commands;
}

function unquoted(word: string): string {
  return word.replace(
    /"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/g,
    (_, double, single, escaped) => double?.replace(/\\(.)/g, "$1") ?? single ?? escaped,
  );
}

/** What is wrong with a command, or nothing. `root` is the project's folder. */
export async function complaintOf(words: readonly string[], root: string): Promise<string | undefined> {
  const [program, ...rest] = words[0] === "npx" && words[1] === "-y" ? words.slice(2) : words;
  if (program === "graft") return await graftComplaint(rest);
  if (program === "deno" && rest[0] === "task") {
    if (rest[1] === "graft") return await graftComplaint(rest.slice(2));
    if (rest[1] === "demo") return await graftComplaint(["compare", ...rest.slice(2)]);
    return rest[1] !== undefined && rest[1] in configuration.tasks
      ? undefined
      : `there is no task "${rest[1]}"`;
  }
  if (program === "deno" && ["run", "test", "bench", "check", "fmt", "lint"].includes(rest[0]!)) {
    const file = rest.slice(1).find((word) => /\.(ts|md)$/.test(word));
    return file === undefined || existsSync(`${root}/${file}`) ? undefined : `there is no file ${file}`;
  }
  if (program === "deno" && ["add", "doc", "publish", "install", "jupyter"].includes(rest[0]!)) {
    return undefined;
  }
  if (program === "bash" || program?.startsWith("./") || program?.startsWith(".ci/")) {
    const file = program === "bash" ? rest[0] : program;
    return existsSync(`${root}/${file}`) ? undefined : `there is no file ${file}`;
  }
  return OTHERS.includes(program!) ? undefined : `"${program}" is no program that the documents may name`;
}

/** Parses arguments as the command line does, without running anything. */
async function graftComplaint(args: readonly string[]): Promise<string | undefined> {
  const program = graftProgram();
  for (const command of program.commands) command.action(() => {});
  const quiet = { writeOut: () => {}, writeErr: () => {} };
  for (const command of [program, ...program.commands]) command.configureOutput(quiet);
  let complaint: string | undefined;
  await runProgram(program, args, (error) => complaint = (error as Error).message);
  return complaint;
}

/** Long options of all commands, and of the programs that documents speak of. */
export function knownFlags(): ReadonlySet<string> {
  const program = graftProgram();
  const own = [program, ...program.commands].flatMap((command) =>
    command.options.map(({ long }) => long ?? "")
  );
  const deno = ["read", "write", "net", "env", "sys", "run", "ffi", "import", "all"].map((name) =>
    `--allow-${name}`
  );
  const others = [
    "--no-prompt",
    "--help",
    "--unstable-webgpu",
    "--doc",
    "--dry-run",
    "--allow-dirty",
    "--lint",
  ];
  return new Set([...own, ...deno, ...others]);
}
