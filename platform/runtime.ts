/** Which runtime the program runs in, for messages. */

/** "Deno", "Bun", "Node 22.1.0" or "a browser". */
export function runtimeName(): string {
  const { Deno, Bun, process } = globalThis as {
    readonly Deno?: unknown;
    readonly Bun?: unknown;
    readonly process?: { readonly versions?: { readonly node?: string } };
  };
  if (Deno !== undefined) return "Deno";
  if (Bun !== undefined) return "Bun";
  const node = process?.versions?.node;
  return node === undefined ? "a browser" : `Node ${node}`;
}
