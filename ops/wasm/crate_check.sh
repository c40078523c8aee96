#!/usr/bin/env bash
# Checks the kernels' crate: its format, clippy for this machine and for both WASM builds, and its tests, which run with every
# bound asserted. Needs Rust with the target wasm32-unknown-unknown and the components clippy, rustfmt and rust-src.
set -euo pipefail
cd "$(dirname "$0")/crate"
source ../flags.sh

if command -v rustup >/dev/null; then
  for component in clippy rustfmt rust-src; do rustup component add "$component" >/dev/null 2>&1; done
  rustup target add wasm32-unknown-unknown >/dev/null 2>&1
fi
target="${GRAFT_CRATE_TARGET:-$PWD/target/check}"
native="-C target-cpu=native"
wasm=(--target wasm32-unknown-unknown)
# For core::simd and -Zbuild-std, as in the builds.
export RUSTC_BOOTSTRAP=1

clippy() { # clippy FLAGS NAME ARGUMENTS...: what would be a warning is an error
  echo "clippy: $2"
  RUSTFLAGS=$1 cargo clippy --quiet --locked --target-dir "$target/$2" "${@:3}" -- -D warnings
}
cargo fmt --check
clippy "$native" native --all-targets
clippy "$simd" single "${wasm[@]}"
clippy "$simd $atomics" threaded "${wasm[@]}" -Zbuild-std=panic_abort,std
RUSTFLAGS=$native cargo test --quiet --locked --target-dir "$target/native"
