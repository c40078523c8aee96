/** The backend that a peer computes on. */
import type { Backend } from "../../core/mod.ts";
import { native } from "../../ops/native/mod.ts";
import { wasm } from "../../ops/wasm/mod.ts";

/** Which backend of this project, with how many threads. */
export interface OpenOptions {
  readonly backend?: "wasm" | "native";
  readonly threads: number;
}

/** Opens it. */
export async function openBackend({ backend = "wasm", threads }: OpenOptions): Promise<Backend> {
  return backend === "native" ? native({ threads }) : await wasm({ threads });
}
