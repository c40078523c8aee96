/** Factorisations against PyTorch, two threads. */
import { atMost, type PeerCommand, python, type Row, script } from "../row.ts";

const row = (
  what: string,
  text: string,
  repetitions: number,
  target: (peer: PeerCommand) => PeerCommand,
): Row => ({
  name: what,
  what: `${text}, two threads`,
  repetitions,
  warmUp: 2,
  peers: [script("graft", "factor.ts", { what }), target(python("PyTorch", "factor.py", { what }))],
});

/** The rows. */
export const factors: readonly Row[] = [
  row(
    "svd",
    "randomized SVD of [2048, 2048]: a sketch of 16 columns, 4 iterations",
    7,
    (peer) => atMost(0.5, peer),
  ),
  row("qr", "QR of [2048, 16]", 9, (peer) => atMost(1.2, peer)),
  row("full-qr", "QR of [2048, 2048]", 3, (peer) => peer),
];
