/**
 * Loading 538 MB of safetensors against reading the file into memory, whole; it lies in the system's cache. Beside them, without a
 * target, what a pass over its bytes takes that keeps none.
 */
import { atMost, type Row, script } from "../row.ts";

/** The rows. */
export const loading: readonly Row[] = (["wasm", "native"] as const).map((backend) => ({
  name: backend === "native" ? "native-load" : "load",
  what: `${backend === "native" ? "native: " : ""}538 MB of safetensors into a model`,
  repetitions: 5,
  warmUp: 2,
  peers: [
    script("graft", "load.ts", { backend, what: "load" }),
    atMost(1.3, script("reading the file into memory", "load.ts", { backend, what: "read" })),
    script("the bytes through one 8 MiB buffer", "load.ts", { backend, what: "pass" }),
  ],
}));
