/** NF4 of a matrix [n, n]: "decode" to f32, "encode" from it. Arguments: {backend, threads, n, what}. */
import { castTo, keep, key as keyOf, scope } from "../../core/mod.ts";
import { normal } from "../../ops/mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { backend: where, threads = 2, n = 2048, what = "decode" } = JSON.parse(Deno.args[0]!);
const backend = await openBackend({ backend: where, threads });
const plain = keep(normal(keyOf(1), [n, n], backend)).tree;
const codes = keep(castTo(plain, "nf4")).tree;
await servePeer(VERSIONS, () => {
  scope((): number => (what === "decode" ? castTo(codes, "f32") : castTo(plain, "nf4")).size);
}, 5);
