/** What the command line says of itself: help that fits a screen, completion scripts, and no colours in a pipe. */
import assert from "node:assert/strict";
import { completionScript } from "../../cli/completion.ts";
import type { Command } from "../../cli/terminal/arguments.ts";
import { graftProgram } from "../../cli/program.ts";
import { graft, graftArguments } from "./tiny.ts";
import { trainableNames } from "../../tuning/chosen_method.ts";

/** What `--help` prints. */
function helpOf(command: Command): string {
  let said = "";
  command.configureOutput({ writeOut: (text) => said += text, getOutHelpWidth: () => 80 });
  command.outputHelp();
  return said;
}

Deno.test("every command's help fits a screen of 80 columns and 40 lines, and shows an example", () => {
  const program = graftProgram();
  for (const command of [program, ...program.commands]) {
    const lines = helpOf(command).trimEnd().split("\n");
    assert.ok(lines.length <= 40, `${command.name()} --help has ${lines.length} lines`);
    assert.ok(lines.some((line) => /^Examples?:/.test(line)), `${command.name()} --help has no example`);
    const long = lines.find((line) => [...line].length > 80);
    assert.equal(long, undefined, `${command.name()}: ${long}`);
  }
});

Deno.test("completion scripts name every command, option and closed set of values", () => {
  const program = graftProgram();
  for (const shell of ["bash", "zsh", "fish"] as const) {
    const script = completionScript(program, shell);
    for (const command of program.commands) {
      assert.match(script, new RegExp(`\\b${command.name()}\\b`), `${shell}: ${command.name()}`);
      for (const { long, argChoices } of command.options) {
        if (long === "--one" || long === "--debug") continue;
        const name = shell === "fish" ? `-l ${long!.slice(2)}` : long!;
        assert.ok(script.includes(name), `${shell}: ${command.name()} ${long}`);
        for (const value of argChoices ?? []) assert.ok(script.includes(value), `${shell}: ${long} ${value}`);
      }
    }
  }
});

/** What bash offers for a line whose last word is being written. */
async function offers(script: string, words: readonly string[]): Promise<readonly string[]> {
  const line = words.map((word) => `'${word}'`).join(" ");
  const probe = `${script}\nCOMP_WORDS=(${line})\nCOMP_CWORD=${
    words.length - 1
  }\n_graft\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
  const { code, stdout, stderr } = await new Deno.Command("bash", { args: ["--norc", "-c", probe] }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).split("\n").filter((word) => word !== "");
}

Deno.test("bash completes commands, options, methods and files by the script", async () => {
  const script = completionScript(graftProgram(), "bash");
  assert.deepEqual(await offers(script, ["graft", "fin"]), ["finetune"]);
  assert.deepEqual(await offers(script, ["graft", "finetune", "--ra"]), ["--rank"]);
  assert.deepEqual(
    await offers(script, ["graft", "finetune", "--method", "lo"]).then((all) => [...all].sort()),
    trainableNames().filter((name) => name.startsWith("lo")).sort(),
  );
  assert.deepEqual(await offers(script, ["graft", "quantize", "--type", "nf"]), ["nf4_double", "nf4"]);
  assert.deepEqual(await offers(script, ["graft", "completion", "f"]), ["fish"]);
  // Files are left to the shell, which knows how to quote their names.
  assert.deepEqual(await offers(script, ["graft", "inspect", "mod"]), []);
  assert.deepEqual(await offers(script, ["graft", "finetune", "-d", "two"]), []);
  assert.match(script, /^complete -o default -F _graft graft$/m);
  // Bash parts words at "=".
  assert.deepEqual(await offers(script, ["graft", "finetune", "--backend", "=", "na"]), ["native"]);
  assert.equal((await offers(script, ["graft", "finetune", "--backend", "="])).length, 5);
  assert.deepEqual(await offers(script, ["graft", "help", "sw"]), ["sweep"]);
});

Deno.test("help asks for no permission but to read", async () => {
  const main = new URL("../../cli/main.ts", import.meta.url).pathname;
  for (const args of [["--help"], ["finetune", "--help"], ["finetune", "--help-all"], ["help", "merge"]]) {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "--allow-read", main, ...args],
    }).output();
    assert.equal(code, 0, `${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  }
});

Deno.test("a reader that goes away ends a command without a word", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: graftArguments(["completion", "bash"]),
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await child.stdout.cancel();
  const [{ code }, said] = await Promise.all([child.status, new Response(child.stderr).text()]);
  assert.deepEqual([code, said], [141, ""]);
});

Deno.test("in a pipe nothing is coloured, and a shell that is not known is an error", async () => {
  for (const args of [["--help"], ["methods", "--help"], ["completion", "tcsh"], ["inspect", "/nowhere"]]) {
    const { out, err } = await graft(args);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(out + err, /\x1b\[/, args.join(" "));
  }
  const { code, err } = await graft(["completion", "tcsh"]);
  assert.equal(code, 2);
  assert.match(err, /Expected bash, zsh, fish but found "tcsh"/);
});
