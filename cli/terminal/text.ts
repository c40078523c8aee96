/** Text for a terminal: its width, wrapping, and marks that colour or underline where the reader can see them. */
import process from "node:process";
import { styleText } from "node:util";
import { Help } from "commander";
import { environmentVariable } from "../../platform/environment.ts";
import { isTerminal } from "../../platform/streams.ts";

/** Columns of the terminal; of a file or a pipe 80, or what `COLUMNS` says. */
export function terminalWidth(): number {
  const said = Number(environmentVariable("COLUMNS"));
  return process.stdout.columns ?? (Number.isInteger(said) && said > 0 ? said : 80);
}

/** Whether standard output shows colours: it is a terminal, and neither `NO_COLOR` nor `TERM=dumb` is set. */
export function hasColour(): boolean {
  return isTerminal(1) && environmentVariable("NO_COLOR") === undefined &&
    environmentVariable("TERM") !== "dumb";
}

/** Text wrapped at a width, after a label whose width later lines are indented by. */
export function labelled(label: string, labelWidth: number, text: string, width: number): string {
  const lines = wrapping().boxWrap(text, Math.max(20, width - labelWidth - 2)).split("\n");
  return lines.map((line, i) => `${(i === 0 ? label : "").padEnd(labelWidth)}  ${line}`.trimEnd()).join("\n");
}

/** Paragraphs wrapped at a width. */
export function wrapped(text: string, width: number): string {
  return wrapping().boxWrap(text, Math.max(20, width));
}

/** Commander's own, which leaves colours out of the count. */
function wrapping(): Help {
  const help = new Help();
  help.minWidthToWrap = 20;
  return help;
}

/** Text that is likely wrong: red, or without colour in angle quotes. */
export function doubtful(text: string): string {
  return hasColour() ? styleText(["red", "underline"], text, { validateStream: false }) : `‹${text}›`;
}
