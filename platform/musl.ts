/** Which of the two C libraries a Linux has: programs linked for one do not load with the other. */
import { existsSync } from "node:fs";
import process from "node:process";

/** The loaders of glibc and musl, which are at the same place in every distribution. */
const LOADERS: Readonly<Record<string, readonly [glibc: string, musl: string]>> = {
  x64: ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"],
  arm64: ["/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"],
};

/** Whether this is a Linux with musl and without glibc, as Alpine's; false where the program may not look. */
export function hasOnlyMusl(exists: (path: string) => boolean = existsSync): boolean {
  if (process.platform !== "linux") return false;
  const [glibc, musl] = LOADERS[process.arch] ?? [];
  return glibc !== undefined && musl !== undefined && exists(musl) && !exists(glibc);
}
