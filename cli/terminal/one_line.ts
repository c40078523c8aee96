/** Errors as people read them. */

/** An error in one line, without a stack trace. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  const shown = ofCommands(ofSystem(text)).replace(/\s*\n\s*/g, "; ").replace(
    CONTROLS,
    (mark) => `\\x${hex(mark)}`,
  );
  return `graft: ${shown}`;
}

/** Characters that a terminal would not display, or would interpret. */
const CONTROLS = /\p{Cc}/gu;

const hex = (mark: string): string => mark.charCodeAt(0).toString(16).padStart(2, "0");

/**
 * "ENOENT: no such file or directory, stat 'x'", the message of `node:fs`, rephrased with the attempted action
 * first and without the code.
 */
function ofSystem(text: string): string {
  return text.replace(
    /^E[A-Z0-9]+: (.+?), (\w+) '(.*)'$/s,
    (_, reason: string, call: string, what: string) => `Cannot ${VERBS[call] ?? call} ${what}: ${reason}`,
  );
}

/** Descriptions of system calls. */
const VERBS: Readonly<Record<string, string>> = {
  stat: "find",
  lstat: "find",
  readdir: "list",
  scandir: "list",
  mkdir: "make",
};

/** Options of functions, which a message advises, as options of commands: "pass { requantize: true }" is "give --requantize". */
function ofCommands(text: string): string {
  return text.replace(
    /(\b(?:pass|try|or) |\()\{ ([a-z]+): ([\w.]+) \}/g,
    (_, before: string, name: string, value: string) =>
      `${before === "pass " ? "give " : before}--${name}${value === "true" ? "" : ` ${value}`}`,
  ).replace("pass { cache } or set", "set").replaceAll(/\braise maxLength\b/g, "raise --max-length").replace(
    /keep only (the|its) head or (?:the )?tail( of long prompts)?$/,
    "keep only $1 head or tail$2 (--long-prompts)",
  );
}
