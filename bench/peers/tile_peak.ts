/**
 * The floating-point operations of a product [m, n, k] in the product's innermost loop alone, on one thread.
 */
import { startSingle } from "../../ops/wasm/machine.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { m, n, k, times = 20 } = JSON.parse(Deno.args[0]!);
const { kernels } = await startSingle();
/** For measuring alone, and in this build only. */
const { tile_peak } = kernels as typeof kernels & { tile_peak(loops: number): number };
/** Operations of a tile of 4 by 8 over 384 steps. */
const TILE = 2 * 4 * 8 * 384;
await servePeer(VERSIONS, () => {
  tile_peak(Math.round(2 * m * n * k / TILE));
}, times);
