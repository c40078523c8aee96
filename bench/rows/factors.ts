/** Factorisations against PyTorch, two threads. */
import { atMost, ours, type Own, type PeerCommand, python, type Row, rowOn } from "../row.ts";

const row = (
  backend: Own,
  what: string,
  text: string,
  repetitions: number,
  target: (peer: PeerCommand) => PeerCommand,
): Row =>
  rowOn(backend, {
    name: what,
    what: `${text}, two threads`,
    repetitions,
    warmUp: 2,
    peers: [ours(backend, "factor.ts", { what }), target(python("PyTorch", "factor.py", { what }))],
  });

/** The rows on a backend. */
export const factorsOn = (backend: Own): readonly Row[] => [
  row(
    backend,
    "svd",
    "randomized SVD of [2048, 2048]: a sketch of 16 columns, 4 iterations",
    9,
    (peer) => atMost(0.5, peer),
  ),
  row(backend, "qr", "QR of [2048, 16]", 9, (peer) => atMost(1.2, peer)),
  row(backend, "full-qr", "QR of [2048, 2048]", 3, (peer) => peer),
];
