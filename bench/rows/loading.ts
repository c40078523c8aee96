/** Loading 538 MB of safetensors against reading the file, which lies in the system's cache. */
import { atMost, type Row, script } from "../row.ts";

/** The rows. */
export const loading: readonly Row[] = (["wasm", "native"] as const).map((backend) => ({
  name: backend === "native" ? "native-load" : "load",
  what: `${backend === "native" ? "native: " : ""}538 MB of safetensors into a model`,
  repetitions: 5,
  warmUp: 2,
  peers: [
    script("graft", "load.ts", { backend, what: "load" }),
    atMost(1.3, script("reading the file", "load.ts", { backend, what: "read" })),
  ],
}));
