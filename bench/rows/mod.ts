/** All rows of the benchmark, in the order of the printed table. */
import type { Row } from "../row.ts";
import { bandwidth } from "./bandwidth.ts";
import { factorsOn } from "./factors.ts";
import { generationOn } from "./generation.ts";
import { gpuRows } from "./gpu.ts";
import { growth } from "./growth.ts";
import { loadingOn } from "./loading.ts";
import { nativeRows } from "./native.ts";
import { ownSteps } from "./own_step.ts";
import { preferencesOn } from "./preferences.ts";
import { productsOn, productTile } from "./products.ts";
import { quantisedOn } from "./quantised.ts";
import { ranks } from "./ranks.ts";
import { start } from "./start.ts";
import { steps } from "./steps.ts";

/** See the module comment. */
export const ROWS: readonly Row[] = [
  ...productsOn("wasm"),
  productTile,
  bandwidth,
  ...steps,
  ...ownSteps,
  ...preferencesOn("wasm"),
  ...quantisedOn("wasm"),
  ...factorsOn("wasm"),
  ...generationOn("wasm"),
  ...gpuRows,
  ...ranks,
  start,
  loadingOn("wasm"),
  ...growth,
  ...nativeRows,
];
