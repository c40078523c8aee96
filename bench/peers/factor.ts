/**
 * Factorisations: "svd" (rank 16 from a sketch of 16 columns, as torch's, 4 iterations, of [2048, 2048]), "qr" (of [2048, 16]),
 * "full-qr" (of [2048, 2048]).
 */
import { keep, key as keyOf, scope } from "../../core/mod.ts";
import { normal, qr, randomizedSvd } from "../../ops/mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { backend: where, threads = 2, what = "svd" } = JSON.parse(Deno.args[0]!);
const backend = await openBackend({ backend: where, threads });
const x = keep(normal(keyOf(1), [2048, what === "qr" ? 16 : 2048], backend)).tree;
await servePeer(VERSIONS, () => {
  scope((): number =>
    what === "svd"
      ? randomizedSvd(x, { rank: 16, iterations: 4, oversampling: 0, key: keyOf(2) }).u.size
      : qr(x).q.size
  );
}, { qr: 200, svd: 8 }[what as string] ?? 1);
