/** What graft takes of `node:crypto`: SHA-256 chunk by chunk, which browsers' own cannot. */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** A hash that is fed. */
export interface Hash {
  update(data: string | Uint8Array): Hash;
  digest(): Uint8Array<ArrayBuffer>;
  digest(form: "hex"): string;
}

/** A hash by name. @throws {Error} for others than SHA-256. */
export function createHash(name: string): Hash {
  if (name !== "sha256") throw new Error(`Expected sha256 but found ${name}`);
  const state = sha256.create();
  const hash: Hash = {
    update: (data) => {
      state.update(typeof data === "string" ? new TextEncoder().encode(data) : data);
      return hash;
    },
    digest: ((form?: "hex") => {
      const bytes = state.digest();
      return form === undefined ? bytes : bytesToHex(bytes);
    }) as Hash["digest"],
  };
  return hash;
}
