/** Deno's own interface where the program runs in Deno; undefined elsewhere. The rest of graft asks `node:` modules. */
export const deno: typeof Deno | undefined = (globalThis as { readonly Deno?: typeof Deno }).Deno;
