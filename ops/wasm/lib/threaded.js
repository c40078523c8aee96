// @ts-self-types="./threaded.d.ts"
import source module from "./threaded_bg.wasm";
export { module };
