/**
 * Loading 538 MB of safetensors against reading the whole file into memory; it is in the system's cache. In
 * addition, without a target, the time of a pass over its bytes without keeping them.
 */
import { atMost, ours, type Own, type Row, rowOn } from "../row.ts";

/** The row on a backend. */
export const loadingOn = (backend: Own): Row =>
  rowOn(backend, {
    name: "load",
    what: "538 MB of safetensors into a model",
    repetitions: 5,
    warmUp: 2,
    peers: [
      ours(backend, "load.ts", { what: "load" }),
      atMost(1.3, ours(backend, "load.ts", { what: "read" }, "reading the file into memory")),
      ours(backend, "load.ts", { what: "pass" }, "the bytes through one 8 MiB buffer"),
    ],
  });
