# The machine that WASM is compiled for: what build.sh builds with, and crate_check.sh checks with.
# shellcheck shell=bash disable=SC2034 # those who read this file use them
simd="-C target-feature=+simd128,+relaxed-simd,+bulk-memory,+nontrapping-fptoint,+sign-ext,+mutable-globals"
atomics="-C target-feature=+atomics"
