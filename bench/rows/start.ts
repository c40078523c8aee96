/** From the start of a process to the end of its first product [64, 64] by [64, 64]. */
import { type PeerCommand, PYTHON, type Row, script } from "../row.ts";

const file = (name: string): string => new URL(`../peers/start/${name}`, import.meta.url).pathname;
const process = (name: string, path: string): PeerCommand =>
  script(name, "start.ts", Deno.execPath(), "run", "-A", "--no-lock", "--no-check", file(path));

/** The row. The target is a time: at most 100 ms. */
export const start: Row = {
  name: "start",
  what: "a process from its start to its first product (target: 100 ms)",
  repetitions: 7,
  warmUp: 2,
  peers: [
    process("graft", "graft.ts"),
    process("tfjs", "tfjs.ts"),
    process("jax-js", "jax.ts"),
    script("PyTorch", "start.ts", ...PYTHON, file("product.py")),
  ],
};
