/** The compiled kernels: the single build. */
export const module: WebAssembly.Module;
