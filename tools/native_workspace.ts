/**
 * The Cargo workspace of the native library: the kernels' crate once for each set of vector instructions, and the crate in front
 * of them, whose source is in `native_front.ts`.
 */

/** A set of vector instructions. */
export interface Level {
  readonly name: string;
  /** What rustc compiles it with. */
  readonly flags: readonly string[];
  /** Features that the CPU must have, as `is_x86_feature_detected!` names them; none: always. */
  readonly needs: readonly string[];
}

const AVX2 = ["avx2", "fma", "bmi1", "bmi2", "f16c", "lzcnt", "movbe", "popcnt"];
const AVX512 = [...AVX2, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"];
const enabled = (features: readonly string[]): readonly string[] => [
  "-C",
  `target-feature=${features.map((feature) => `+${feature}`).join(",")}`,
];

/** The levels of a target's CPU, the widest first. */
export const levelsOf = (cpu: "x64" | "arm64"): readonly Level[] =>
  cpu === "arm64" ? [{ name: "neon", flags: [], needs: [] }] : [
    { name: "avx512", flags: enabled(AVX512), needs: AVX512 },
    { name: "avx2", flags: enabled(AVX2), needs: AVX2 },
    { name: "baseline", flags: [], needs: [] },
  ];

/** What `deno task native` builds: for this very machine. */
export const THIS_MACHINE: readonly Level[] = [
  { name: "native", flags: ["-C", "target-cpu=native"], needs: [] },
];

/** A level's copy of a source: its exports bear the level's name, so that several stand in one library. */
export const withLevelsNames = (source: string, level: string): string =>
  source.replace(
    /unsafe\(no_mangle\)(\)?\]\s*(?:#\[[^\n]*\]\s*)*pub (?:unsafe )?extern "C" fn (\w+))/g,
    (_, rest: string, name: string) => `unsafe(export_name = "graft_${level}_${name}")${rest}`,
  );

/** The manifest of the workspace. */
export const workspaceManifest = (levels: readonly Level[]): string =>
  `cargo-features = ["profile-rustflags"]

[workspace]
members = ["front", ${levels.map(({ name }) => `"${name}"`).join(", ")}]
resolver = "3"

[profile.release]
opt-level = 3
lto = true
codegen-units = 1
panic = "abort"
strip = "debuginfo"
debug = false
${
    levels.filter(({ flags }) => flags.length > 0).map(({ name, flags }) => `
[profile.release.package.graft-${name}]
rustflags = [${flags.map((flag) => `"${flag}"`).join(", ")}]
`).join("")
  }`;

/** The manifest of a level: that of the kernels' crate under the level's name, as a library of Rust. */
export const levelManifest = (crate: string, level: string): string =>
  crate.replace('name = "graft-kernels"', `name = "graft-${level}"`)
    .replace('crate-type = ["cdylib"]', 'crate-type = ["rlib"]')
    .replace(/\n\[profile[\s\S]*$/, "\n");

/** The manifest of the front. */
export const frontManifest = (levels: readonly Level[]): string =>
  `[package]
name = "graft-front"
version = "0.1.0"
edition = "2024"
publish = false

[lib]
name = "graft_kernels"
crate-type = ["cdylib"]

[dependencies]
${levels.map(({ name }) => `graft-${name} = { path = "../${name}" }`).join("\n")}
`;
