/** Memory: 256 MiB copied by the crate and by PyTorch. */
import { python, type Row, script } from "../row.ts";

/** The row. */
export const bandwidth: Row = {
  name: "bandwidth",
  what: "256 MiB copied (512 MiB moved), two threads",
  repetitions: 9,
  warmUp: 2,
  peers: [script("graft", "bandwidth.ts", { threads: 2 }), python("PyTorch", "bandwidth.py", { threads: 2 })],
};
