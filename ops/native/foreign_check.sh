#!/usr/bin/env bash
# The kernels' own tests as other platforms run them: arm64 with its vectors (NEON) by qemu, Windows by wine. Needs Rust and Debian's
# qemu-user and gcc-aarch64-linux-gnu, or wine64 and gcc-mingw-w64-x86-64. `foreign_check.sh [arm64] [windows]`, by default both.
set -euo pipefail
cd "$(dirname "$0")/../wasm/crate"
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
wine=$(command -v wine64 || command -v wine || echo /usr/lib/wine/wine64)
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$wine
export WINEDEBUG=-all

# Wines before 9 lack the library of Windows that Rust takes random numbers from: one that asks its older function.
random_numbers() {
  local folder="${GRAFT_CRATE_TARGET:-$PWD/target/check}/foreign/windows"
  mkdir -p "$folder"
  cat >"$folder/random.c" <<'END'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG bytes);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T bytes) { return SystemFunction036(data, (ULONG)bytes); }
END
  x86_64-w64-mingw32-gcc -shared -o "$folder/bcryptprimitives.dll" "$folder/random.c" -ladvapi32
  export WINEPATH="$folder"
}

for name in "${@:-arm64 windows}"; do
  for platform in $name; do
    case $platform in
      arm64) rust=aarch64-unknown-linux-gnu ;;
      windows) rust=x86_64-pc-windows-gnu ;;
      *) echo "Expected arm64 or windows but found $platform" && exit 2 ;;
    esac
    if command -v rustup >/dev/null; then rustup target add $rust >/dev/null 2>&1; fi
    echo "$platform"
    if [ "$platform" = windows ]; then random_numbers; fi
    cargo test --quiet --locked --target $rust --target-dir "${GRAFT_CRATE_TARGET:-$PWD/target/check}/foreign"
  done
done
