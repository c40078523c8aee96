/** The machine's processor. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";

/** A processor, and the vector instructions it has, where the system tells. */
export interface Processor {
  readonly name: string;
  readonly vectors: readonly string[];
}

/** Instructions that products are faster with. */
const VECTORS = ["avx2", "fma", "avx512f", "avx512_vnni", "asimd", "asimddp", "sve"];

/** The processor of the machine. */
export function processor(): Processor {
  return {
    name: cpus()[0]?.model.trim() ?? "unknown",
    vectors: process.platform === "linux" ? vectorsIn(textOf("/proc/cpuinfo")) : [],
  };
}

/** The vector instructions in the text of `/proc/cpuinfo`. */
export function vectorsIn(text: string): readonly string[] {
  const found = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/));
  return VECTORS.filter((name) => found.has(name));
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
