// @ts-self-types="./single.d.ts"
import source module from "./single_bg.wasm";
export { module };
