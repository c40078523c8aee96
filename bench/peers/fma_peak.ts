/**
 * The floating-point operations of a product [m, n, k] as fused multiply-adds of four lanes on one thread.
 */
import { startSingle } from "../../ops/wasm/machine.ts";
import { servePeer, VERSIONS } from "./serve.ts";

const { m, n, k, times = 20 } = JSON.parse(Deno.args[0]!);
const { kernels } = await startSingle();
/** Operations of one round of the kernel. */
const ROUND = 80;
await servePeer(VERSIONS, () => {
  kernels.fma_peak(Math.round(2 * m * n * k / ROUND), 0.5);
}, times);
