/** What a PEFT folder holds of its method: tensors, fields of the config, layers. */
import type { Json, MatrixPlace, Method, Model, Shape, Tensor, Tree } from "../../core/mod.ts";

/** Fields of an `adapter_config.json`. */
export type PeftFields = Readonly<Record<string, Json>>;

/** One tensor of the folder. */
export interface PeftTensor {
  /** Its path in the method's params. */
  readonly path: string;
  /** Its key in the file, without the prefix `base_model.model.`. */
  readonly key: string;
  /** Its shape in params. */
  readonly shape: Shape;
  /**
   * For integer tensors (i32 in params): values in row i range from 0 up to the i-th of these, exclusive.
   * Default: f32.
   */
  readonly below?: readonly number[];
  /** Its shape in the file, when that differs: the same values in the same order. */
  readonly stored?: Shape;
  /**
   * The file has the matrix's transpose, of the shape `stored`. Only for reading: adapters are saved as plain
   * LoRA.
   */
  readonly transposed?: true;
  /** Keys of layers that share the tensor, for which PEFT writes it again. */
  readonly copies?: readonly string[];
  /**
   * It is only a part of the file's matrix `stored`: rows (axis 0) or columns (axis 1) starting at `from`.
   */
  readonly part?: { readonly axis: 0 | 1; readonly from: number };
  /** The file has the parameter times this number. Only written. */
  readonly factor?: number;
  /** The file has zeros of this shape there, which no parameter holds. */
  readonly zeros?: true;
}

/** The method of a folder, bound to a model: what is read and written of it. */
export interface MainPart {
  /** `peft_type`. */
  readonly type: string;
  /** The method with the options that the folder says. */
  readonly method: Method;
  /** The layers that it adapts; none where it stands elsewhere. */
  readonly places: readonly MatrixPlace[];
  /** Its tensors in the file. */
  readonly tensors: readonly PeftTensor[];
  /** Its fields of the config, except targets. */
  readonly fields: PeftFields;
  /** The value of the field `bias` when the adapted layers' biases are trained along with it. */
  readonly biases?: string;
  /** PEFT's prefix of the names of modules saved along with it, where that differs from the usual prefix. */
  readonly savedPrefix?: "base_model.";
  /** The change of the base by the adapter's initialization, which PEFT repeats on loading the folder. */
  readonly changed?: RepeatedChange;
  /** Frozen parameters that the folder lacks and that PEFT recomputes from the base on loading. */
  readonly frozen?: (model: Model) => Promise<Tree>;
}

/** A method of a folder, and the fields with their defaults: what the config says besides is read from them. */
export interface ReadPart {
  /** The method. */
  readonly main: MainPart;
  /** Every known field. */
  readonly fields: PeftFields;
}

/** A method for a folder, and the fields that name its layers. */
export interface WrittenPart {
  /** The method. */
  readonly main: MainPart;
  /** `target_modules` and related fields. */
  readonly targets: PeftFields;
}

/** A change of the base that PEFT makes again when it loads a folder. */
export interface RepeatedChange {
  /**
   * What becomes of the adapter on the original base.
   *
   * @param brings Whether the folder contains a layer's matrix, already changed.
   * @throws {TypeError} when such a matrix is quantized.
   * @throws {RangeError} when it is shared with another layer.
   */
  on(brings: (place: MatrixPlace) => boolean, model: Model): Promise<ChangedPart>;
}

/** An adapter of the original base that computes what the folder's does on the changed one. */
export interface ChangedPart {
  /** Weights that take the base's places, by path; the caller owns them. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** The method on the original base; undefined where it is the folder's own. */
  readonly method: Method | undefined;
  /**
   * The parameters of that method, from those of the folder, which it frees where it replaces them.
   *
   * @param at The path in `params` of a path of the method's own parameters.
   */
  params(params: Tree, at: (path: string) => string): Promise<Tree>;
}
