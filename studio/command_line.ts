/** The command line of a run: what the worker carries out, and what the page shows as the same on a machine. */
import type { RunSettings } from "./protocol.ts";

/** The words of `graft finetune`, without the program's own name. */
export function finetuneWords(settings: RunSettings): readonly string[] {
  const { model, data, output, method, options, training, backend, threads } = settings;
  const given = Object.entries(training).flatMap(([name, value]) =>
    value === "true" ? [`--${name}`] : [`--${name}`, value]
  );
  return [
    ...["finetune", "--model", model, "--data", data, "--output", output, "--method", method],
    ...Object.keys(options).length > 0 ? ["--options", JSON.stringify(options)] : [],
    ...given,
    ...["--backend", backend],
    ...backend === "wasm" ? ["--threads", String(threads)] : [],
  ];
}

/** A word quoted for a shell. */
export const shellWord = (text: string): string =>
  /^[\p{L}\p{N}_@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** A command line as a shell takes it. */
export const shellLine = (words: readonly string[]): string => ["graft", ...words].map(shellWord).join(" ");
