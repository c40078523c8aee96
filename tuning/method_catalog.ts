/** The methods of `graft finetune`: their names, learning rates and flags. */

/** Options that several methods share, as flags. Everything else goes through `--options`. */
export interface MethodOptionFlags {
  readonly rank?: number;
  readonly alpha?: number;
  readonly dropout?: number;
  readonly targets?: readonly string[];
  /** Hidden size of an adapter. */
  readonly bottleneck?: number;
  /** Rows of a prompt or prefix. */
  readonly length?: number;
  /** Number of trained parameters, for methods with such a budget. */
  readonly dimension?: number;
}

/** One of those flags. */
export type MethodFlag = keyof MethodOptionFlags;

/** Information on a method before it is created. */
export interface MethodRow {
  /** Peak learning rate when none is given. Methods with few parameters need high rates. */
  readonly rate: number;
  readonly flags: readonly MethodFlag[];
}

const row = (rate: number, ...flags: readonly MethodFlag[]): MethodRow => ({ rate, flags });
const LOW_RANK = ["rank", "alpha", "dropout", "targets"] as const;

/** Names as users type them. */
export type MethodName =
  | "lora"
  | "rslora"
  | "dora"
  | "qlora"
  | "lora-plus"
  | "adalora"
  | "pissa"
  | "olora"
  | "loftq"
  | "eva"
  | "loha"
  | "lokr"
  | "krona"
  | "vera"
  | "psoft"
  | "lily"
  | "oft"
  | "boft"
  | "poly"
  | "glora"
  | "osf"
  | "hra"
  | "miss"
  | "fourierft"
  | "randlora"
  | "c3a"
  | "tiny-lora"
  | "pvera"
  | "uni-lora"
  | "vb-lora"
  | "deft"
  | "peanut"
  | "road"
  | "delora"
  | "hira"
  | "shira"
  | "gralora"
  | "waveft"
  | "intrinsic-said"
  | "ia3"
  | "bitfit"
  | "beft"
  | "layer-norm"
  | "top-layers"
  | "cross-attention"
  | "trainable-tokens"
  | "only"
  | "fish-mask"
  | "diff-pruning"
  | "lt-sft"
  | "far"
  | "houlsby"
  | "pfeiffer"
  | "parallel"
  | "phm"
  | "compacter"
  | "compacter-plus-plus"
  | "krona-b"
  | "krona-bres"
  | "adamix"
  | "invertible"
  | "prefix"
  | "prompt"
  | "p-tuning"
  | "p-tuning-v2"
  | "multitask-prompt"
  | "context-prompt"
  | "llama-adapter"
  | "loreft"
  | "ladder-side"
  | "mam"
  | "unipelt"
  | "s4"
  | "attention-fusion"
  | "lets"
  | "adapter-fusion"
  | "sparse-adapter"
  | "spot"
  | "ipt"
  | "xlora"
  | "full";

/** Methods with stages of their own before the last one. */
export type StagedName = Extract<MethodName, "diff-pruning" | "lt-sft" | "far">;

/** Methods made from existing adapters, or from a mask computed from data. */
export type SourcedName = Extract<MethodName, "adapter-fusion" | "xlora" | "spot" | "ipt" | "sparse-adapter">;

/**
 * Rates are those of the papers or their released code, for models from the size of BERT to a few billion
 * parameters.
 */
export const METHOD_TABLE: Readonly<Record<MethodName, MethodRow>> = {
  "lora": row(5e-4, ...LOW_RANK),
  "rslora": row(5e-4, ...LOW_RANK),
  "dora": row(5e-4, ...LOW_RANK),
  "qlora": row(5e-4, ...LOW_RANK),
  "lora-plus": row(1e-4, ...LOW_RANK),
  "adalora": row(1e-3, ...LOW_RANK),
  "pissa": row(2e-4, ...LOW_RANK),
  "olora": row(2e-4, ...LOW_RANK),
  "loftq": row(3e-4, ...LOW_RANK),
  "eva": row(5e-4, ...LOW_RANK),
  "loha": row(1e-3, "rank", "alpha", "targets"),
  "lokr": row(1e-3, "rank", "alpha", "targets"),
  "krona": row(1e-3, "dropout", "targets"),
  "vera": row(5e-3, "rank", "dropout", "targets"),
  "psoft": row(1e-3, "rank", "dropout", "targets"),
  "lily": row(1e-3, "rank", "targets"),
  "oft": row(1e-3, "targets"),
  "boft": row(1e-3, "targets"),
  "poly": row(1e-3, "rank", "targets"),
  "glora": row(5e-4, "rank", "targets"),
  "osf": row(5e-5, "targets"),
  "hra": row(1e-3, "rank", "targets"),
  "miss": row(5e-4, "rank", "targets"),
  "fourierft": row(1e-2, "dimension", "targets"),
  "vb-lora": row(1e-2, "rank", "dropout", "targets"),
  "uni-lora": row(5e-3, "rank", "dimension", "dropout", "targets"),
  "pvera": row(5e-3, "rank", "dropout", "targets"),
  "tiny-lora": row(1e-2, "rank", "dimension", "dropout", "targets"),
  "c3a": row(1e-1, "targets"),
  "deft": row(1e-3, "rank", "alpha", "dropout", "targets"),
  "peanut": row(5e-4, "rank", "targets"),
  "randlora": row(1e-4, "rank", "alpha", "dropout", "targets"),
  "road": row(3e-3, "targets"),
  "delora": row(1e-2, "rank", "dropout", "targets"),
  "hira": row(1e-3, "rank", "dropout", "targets"),
  "shira": row(1e-3, "rank", "targets"),
  "gralora": row(5e-4, "rank", "alpha", "dropout", "targets"),
  "waveft": row(1e-3, "dimension", "targets"),
  "intrinsic-said": row(1e-3, "dimension", "targets"),
  "ia3": row(5e-3, "targets"),
  "bitfit": row(1e-3),
  "beft": row(1e-3, "targets"),
  "layer-norm": row(1e-3, "targets"),
  "top-layers": row(5e-5),
  "cross-attention": row(1e-4),
  "trainable-tokens": row(1e-3),
  "only": row(5e-5, "targets"),
  "fish-mask": row(1e-4),
  "diff-pruning": row(5e-5),
  "lt-sft": row(5e-5),
  "far": row(1e-4),
  "houlsby": row(5e-4, "bottleneck"),
  "pfeiffer": row(5e-4, "bottleneck"),
  "parallel": row(5e-4, "bottleneck", "dropout"),
  "phm": row(3e-3, "bottleneck"),
  "compacter": row(3e-3, "bottleneck"),
  "compacter-plus-plus": row(3e-3, "bottleneck"),
  "krona-b": row(1e-3),
  "krona-bres": row(1e-3),
  "adamix": row(5e-4, "bottleneck"),
  "invertible": row(5e-4, "bottleneck"),
  "prefix": row(1e-3, "length", "dropout"),
  "prompt": row(3e-2, "length"),
  "p-tuning": row(1e-3, "length"),
  "p-tuning-v2": row(5e-3, "length", "dropout"),
  "multitask-prompt": row(3e-2, "length", "rank"),
  "context-prompt": row(1e-3),
  "llama-adapter": row(9e-3, "length"),
  "loreft": row(1e-3, "rank", "dropout"),
  "ladder-side": row(1e-3),
  "mam": row(5e-4, "length", "bottleneck"),
  "unipelt": row(5e-4, "rank", "length", "bottleneck"),
  "s4": row(5e-4, "dimension"),
  "attention-fusion": row(1e-2),
  "lets": row(1e-3),
  "adapter-fusion": row(5e-5),
  "sparse-adapter": row(1e-4, "bottleneck"),
  "spot": row(3e-2),
  "ipt": row(1e-2),
  "xlora": row(1e-3),
  "full": row(2e-5),
};

/** All names, in the table's order. */
export const METHODS = Object.keys(METHOD_TABLE) as readonly MethodName[];

/** The learning rate when none is given. */
export function defaultRate(method: MethodName): number {
  return METHOD_TABLE[method].rate;
}

/** The optimizer when none is given: paged where every weight is trained, to save compute memory. */
export function defaultOptimizer(method: MethodName): "adamw" | "paged" {
  return method === "full" || method === "qlora" ? "paged" : "adamw";
}
