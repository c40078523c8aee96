#!/usr/bin/env bash
# Rebuilds lib/ from crate/: two builds of the same kernels, one for a single thread, one over shared memory.
# Needs Rust with the target wasm32-unknown-unknown and the component rust-src, and wasm-bindgen-cli of the crate's
# version. Users of the package need none of this: lib/ is committed.
set -euo pipefail
cd "$(dirname "$0")"
source ./flags.sh

want="$(sed -n 's/^wasm-bindgen = "=\(.*\)"$/\1/p' crate/Cargo.toml)"
have="$(wasm-bindgen --version 2>/dev/null | cut -d' ' -f2 || true)"
if [ "$have" != "$want" ]; then
  echo "Expected wasm-bindgen $want but found ${have:-none}: run 'cargo install wasm-bindgen-cli --version $want --locked'" >&2
  exit 1
fi
sysroot="$(rustc --print sysroot)"
if [ ! -d "$sysroot/lib/rustlib/wasm32-unknown-unknown" ]; then
  echo "The Rust target is missing: run 'rustup target add wasm32-unknown-unknown'" >&2
  exit 1
fi
if [ ! -d "$sysroot/lib/rustlib/src/rust/library" ]; then
  echo "The Rust sources are missing: run 'rustup component add rust-src'" >&2
  exit 1
fi

target="${GRAFT_WASM_TARGET:-$PWD/crate/target}"
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
# No path of the building machine may end up in the committed binary.
cargo fetch --quiet --locked --manifest-path crate/Cargo.toml
remap="--remap-path-prefix=$sysroot=/rust --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$PWD/crate=/crate"
for sources in "$cargo_home"/registry/src/*; do remap="$remap --remap-path-prefix=$sources=/crates"; done
threads="$atomics -C link-arg=--shared-memory -C link-arg=--import-memory -C link-arg=--max-memory=4294967296"
for name in __wasm_init_tls __tls_size __tls_align __tls_base; do threads="$threads -C link-arg=--export=$name"; done
stack="-C link-arg=-zstack-size=1048576"

RUSTFLAGS="$remap $simd $stack" \
  cargo build --release --quiet --locked --manifest-path crate/Cargo.toml --target wasm32-unknown-unknown \
  --target-dir "$target/single"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="$remap $simd $stack $threads" \
  cargo build --release --quiet --locked --manifest-path crate/Cargo.toml --target wasm32-unknown-unknown \
  -Zbuild-std=panic_abort,std --target-dir "$target/threaded"

mkdir -p lib
for build in single threaded; do
  wasm-bindgen --target web --remove-name-section --out-dir lib --out-name "$build" \
    "$target/$build/wasm32-unknown-unknown/release/graft_kernels.wasm"
  # The backend links the module itself, because one program may run several backends; of the glue it needs the types.
  rm "lib/$build.js" "lib/$build.d.ts"
done
# Text, which every runtime and bundler imports and no permission guards.
deno run -A pack.ts
deno run -A check.ts --write
