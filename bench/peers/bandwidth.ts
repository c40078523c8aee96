/** Copies 256 MiB with the crate's own kernel. Arguments: {backend, threads}. */
import { allocate, keep } from "../../core/mod.ts";
import { zeros } from "../../ops/mod.ts";
import { openBackend } from "./open.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { backend: where, threads = 2 } = JSON.parse(Deno.args[0] ?? "{}");
const backend = await openBackend({ backend: where, threads });
const from = keep(zeros([1 << 26], backend)).tree;
const to = keep(allocate(backend, [1 << 26])).tree;
await servePeer(VERSIONS, () => backend.copy(from, to), 3);
