/** The compiled kernels: the threaded build. */
export const module: WebAssembly.Module;
