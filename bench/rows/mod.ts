/** All rows of the benchmark, in the order of the printed table. */
import type { Row } from "../row.ts";
import { bandwidth } from "./bandwidth.ts";
import { factors } from "./factors.ts";
import { generation } from "./generation.ts";
import { gpuRows } from "./gpu.ts";
import { growth } from "./growth.ts";
import { loading } from "./loading.ts";
import { nativeRows } from "./native.ts";
import { ownSteps } from "./own_step.ts";
import { products } from "./products.ts";
import { quantised } from "./quantised.ts";
import { start } from "./start.ts";
import { steps } from "./steps.ts";

/** See the module comment. */
export const ROWS: readonly Row[] = [
  ...products,
  bandwidth,
  ...steps,
  ...ownSteps,
  ...quantised,
  ...factors,
  ...generation,
  ...gpuRows,
  start,
  ...loading,
  ...growth,
  ...nativeRows,
];
