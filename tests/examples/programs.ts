/** The example programs, and how their headers say to run them. */
import { readdirSync, readFileSync } from "node:fs";

/** A program. */
export interface Program {
  /** "hub", of `examples/hub.ts`. */
  readonly name: string;
  readonly text: string;
  /** What stands between `deno run` and the file: the permissions it needs. */
  readonly flags: readonly string[];
}

/** The programs of a folder. @throws {SyntaxError} when a header does not say how to run its program. */
export function examplesIn(folder: string): readonly Program[] {
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts")).sort();
  return files.map((file) => {
    const text = readFileSync(`${folder}/${file}`, "utf8");
    const line = new RegExp(`^ \\*   deno run ((?:--\\S+ )*)examples/${file}(?: |$)`, "m").exec(text);
    if (line === null) throw new SyntaxError(`examples/${file} does not say how to run it`);
    return {
      name: file.replace(/\.ts$/, ""),
      text,
      flags: line[1]!.trim().split(" ").filter((f) => f !== ""),
    };
  });
}
