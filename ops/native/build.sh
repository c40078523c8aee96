#!/usr/bin/env bash
# Builds lib/ from the crate of the WASM backend for this very machine. Needs Rust; nothing of it is committed.
set -euo pipefail
cd "$(dirname "$0")"
crate=../wasm/crate
target="${GRAFT_NATIVE_TARGET:-$PWD/$crate/target/native}"

# The library tells which sources it was made of.
GRAFT_SOURCES=$(deno run -A ../wasm/check.ts --print)
export GRAFT_SOURCES
# core::simd is not stable yet; the crate uses it as far as it has been the same for years.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C target-cpu=native" \
  cargo build --release --quiet --locked --manifest-path "$crate/Cargo.toml" --target-dir "$target"
mkdir -p lib
for library in "$target"/release/{libgraft_kernels.so,libgraft_kernels.dylib,graft_kernels.dll}; do
  # A new file in the old one's place: a process that has the old one open goes on with it.
  if [ -f "$library" ]; then cp "$library" lib/new && mv lib/new "lib/$(basename "$library")"; fi
done
