/**
 * The networks that generate P-tuning's rows during training. Liu et al. 2021, arXiv 2103.10385, section 3.2:
 * trained embeddings e [n, d] pass through
 *
 *   lstm   h = W₂ relu(W₁ BiLSTM(e) + b₁) + b₂      BiLSTM of `layers` layers, width H each way, over the prompt alone
 *   mlp    h = W₃ relu(W₂ relu(W₁ e + b₁) + b₂) + b₃
 *
 * The authors' three encoders and PEFT's two are sizes of these.
 */
import { type Backend, fold, type Key, nest, type Tensor, type Tree, under } from "../../core/mod.ts";
import { lstm, type LstmLayer, normal, relu, reshape, uniform } from "../../ops/mod.ts";
import { type Affine, affine, freshAffine } from "../shared/affine.ts";
import { rangeError } from "../../errors/error.ts";

/** A network's sizes. d is the model's width. */
export type PromptEncoder =
  | {
    readonly kind: "lstm";
    /**
     * H. Default d / 2, as in the authors' LAMA code; their few-shot code uses d; PEFT's name is
     * encoder_hidden_size.
     */
    readonly hidden?: number;
    /** Width between the two linear layers. Default d; PEFT uses 2 H. */
    readonly inner?: number;
    /** Default 2. */
    readonly layers?: number;
    /** Dropout between the LSTM's layers in training. Default 0. */
    readonly dropout?: number;
  }
  | {
    readonly kind: "mlp";
    /** Widths between the linear layers. Default [d], two layers as in the authors' few-shot code; PEFT's are [k, k]. */
    readonly hidden?: readonly number[];
  };

/** An encoder's parameters. */
export type PromptEncoderParams = {
  /** e [n, d]. */
  readonly tokens: Tensor;
  /** Layers "0", "1", … */
  readonly lstm?: Tree;
  /** Linear layers "0", "1", … */
  readonly mlp: Tree;
};

/** Initial parameters as in PyTorch: e normal, layers uniform in ±1/√in, the LSTM in ±1/√H. */
export function freshEncoder(
  encoder: PromptEncoder,
  key: Key,
  n: number,
  width: number,
  backend: Backend,
): PromptEncoderParams {
  const widths = linearWidths(encoder, width);
  const mlp = widths.slice(1).flatMap((out, i) =>
    under(`${i}`, freshAffine(fold(fold(key, "mlp"), i), out, widths[i]!, backend))
  );
  const tokens = normal(fold(key, "tokens"), [n, width], backend);
  if (encoder.kind === "mlp") return { tokens, mlp: nest(mlp) as Tree };
  const { hidden = width / 2, layers = 2 } = encoder;
  const bound = 1 / Math.sqrt(hidden);
  const gates = Array.from({ length: layers }, (_, layer) => layer).flatMap((layer) =>
    ["forward", "backward"].flatMap((way) =>
      ([["input", layer === 0 ? width : 2 * hidden], ["hidden", hidden]] as const).flatMap(([part, inner]) =>
        ([["weight", [4 * hidden, inner]], ["bias", [4 * hidden]]] as const).map(([leaf, shape]) => {
          const path = `${layer}.${way}.${part}.${leaf}`;
          return [path, uniform(fold(fold(key, "lstm"), path), shape, backend, -bound, bound)] as const;
        })
      )
    )
  );
  return { tokens, lstm: nest(gates) as Tree, mlp: nest(mlp) as Tree };
}

/** The rows [n, d] that an encoder generates; `key` in training. */
export function encodedRows(encoder: PromptEncoder, params: PromptEncoderParams, key?: Key): Tensor {
  const { tokens, mlp } = params;
  const [n, d] = tokens.shape as [number, number];
  const p = encoder.kind === "lstm" ? encoder.dropout ?? 0 : 0;
  const read = params.lstm === undefined ? tokens : reshape(
    lstm(
      inOrder<LstmLayer>(params.lstm),
      reshape(tokens, [1, n, d]),
      key === undefined ? undefined : { p, key },
    ),
    [n, -1],
  ); // [n, 2H]
  return inOrder<Affine>(mlp).reduce((h, layer, i) => affine(layer, i === 0 ? h : relu(h)), read);
}

/** The input and output widths of the linear layers. */
function linearWidths(encoder: PromptEncoder, width: number): readonly number[] {
  if (encoder.kind === "mlp") return [width, ...encoder.hidden ?? [width], width];
  const { hidden = width / 2, inner = width } = encoder;
  if (!Number.isInteger(hidden)) {
    throw rangeError(
      "METHOD_DOES_NOT_FIT",
      `Cannot halve the width ${width} for the encoder's LSTM: give its hidden width`,
    );
  }
  return [2 * hidden, inner, width];
}

/** Children "0", "1", … in the order of their numbers. */
function inOrder<T>(tree: Tree): readonly T[] {
  return Object.keys(tree).sort((a, b) => Number(a) - Number(b)).map((name) => tree[name] as T);
}
