/** Errors with a stable code beside the sentence, by which a program tells them apart. */

/** What went wrong, for programs: sentences may change, codes do not. `docs/errors.md` tells what each means. */
export type ErrorCode =
  | "ADAPTER_NOT_FOUND"
  | "ADAPTER_MISMATCH"
  | "ADAPTER_UNSUPPORTED"
  | "BACKEND_FAILED"
  | "BACKEND_UNAVAILABLE"
  | "BACKEND_MISMATCH"
  | "CANCELLED"
  | "CANNOT_MERGE"
  | "CANNOT_RESUME"
  | "CANNOT_SAVE"
  | "CANNOT_WRITE"
  | "CHECKPOINT_INVALID"
  | "DATA_INVALID"
  | "DOWNLOAD_DAMAGED"
  | "FILE_INVALID"
  | "FILE_NOT_FOUND"
  | "FILE_UNSUPPORTED"
  | "FREED"
  | "HUB_FILES"
  | "HUB_REFUSED"
  | "HUB_UNREACHABLE"
  | "INTERRUPTED"
  | "INVALID_ARGUMENT"
  | "INVALID_BATCH"
  | "INVALID_TENSOR"
  | "LOSS_NOT_FINITE"
  | "METHOD_DOES_NOT_FIT"
  | "METHOD_UNKNOWN"
  | "MODEL_NOT_FOUND"
  | "MODEL_UNSUPPORTED"
  | "MPI_FAILED"
  | "MPI_UNAVAILABLE"
  | "NOT_FINITE"
  | "NO_SUCH_PLACE"
  | "OUTPUT_EXISTS"
  | "OUT_OF_MEMORY"
  | "PICKLE_REFUSED"
  | "PROCESSES_DIFFER"
  | "QUEUE_FULL"
  | "TEXT_TOO_LONG"
  | "TOKENIZER_UNSUPPORTED"
  | "USAGE";

/** What each code means. */
export const MEANINGS: Readonly<Record<ErrorCode, string>> = {
  ADAPTER_NOT_FOUND: "An adapter's folder, or the adapter of a name in it, is not there.",
  ADAPTER_MISMATCH: "An adapter was made for another model, or with other options.",
  ADAPTER_UNSUPPORTED: "An adapter's files are right, but ask for something that graft does not have.",
  BACKEND_FAILED: "A worker or a device failed while it computed.",
  BACKEND_UNAVAILABLE:
    "A backend cannot start here: the runtime, the machine or an installed file does not allow it.",
  BACKEND_MISMATCH: "Tensors of two backends meet.",
  CANCELLED: "A request was cancelled.",
  CANNOT_MERGE: "An adapter cannot become part of the weights, or cannot be taken out of them again.",
  CANNOT_RESUME: "A checkpoint does not go with the run that is to be continued.",
  CANNOT_SAVE: "What is to be saved has no place in the format.",
  CANNOT_WRITE: "A file could not be written: the disk is full, or the place is no folder.",
  CHECKPOINT_INVALID: "A checkpoint lacks a weight, has one too many, or one of another shape.",
  DATA_INVALID: "Examples are not as they must be; the sentence names file and line.",
  DOWNLOAD_DAMAGED: "A downloaded file has another size or hash than the hub lists.",
  FILE_INVALID: "A file is not what its format demands.",
  FILE_NOT_FOUND: "A file or folder is not there.",
  FILE_UNSUPPORTED: "A file is right, but has something that graft does not read.",
  FREED: "A tensor, a file or a backend is used after it was freed or closed.",
  HUB_FILES:
    "A repository of the hub lacks the files that are asked for, or has several that could be meant.",
  HUB_REFUSED: "The hub refused a request: a wrong name, a missing token, terms that were not accepted.",
  HUB_UNREACHABLE: "The hub, or a copy of its files, cannot be reached.",
  INTERRUPTED: "A run was told to stop.",
  INVALID_ARGUMENT: "An argument or option is of the wrong kind or out of its range.",
  INVALID_BATCH: "A batch, its labels or its adapters by rows do not fit the model or each other.",
  INVALID_TENSOR: "A tensor has a shape or a dtype that an operation does not take.",
  LOSS_NOT_FINITE: "The loss or the gradient is not finite.",
  METHOD_DOES_NOT_FIT: "A method cannot be put on this model, or on this layer of it.",
  METHOD_UNKNOWN: "A method, gate or format of a name is not known.",
  MODEL_NOT_FOUND: "A model's path or id names nothing.",
  MODEL_UNSUPPORTED: "A model has an architecture, or something in its config, that graft does not run.",
  MPI_FAILED: "A call of the MPI library failed.",
  MPI_UNAVAILABLE: "No MPI library opens that belongs to the launcher.",
  NOT_FINITE: "Numbers that must be finite are not.",
  NO_SUCH_PLACE: "Names or patterns match no place of the model.",
  OUTPUT_EXISTS: "Something exists already where a result is to be written.",
  OUT_OF_MEMORY: "There is no room for a tensor.",
  PICKLE_REFUSED: "A pickled file, which can run code, is never read.",
  PROCESSES_DIFFER:
    "Processes that are to train together have other data, options, weights, kernels or rounding.",
  QUEUE_FULL: "Too many requests wait already.",
  TEXT_TOO_LONG: "A text is longer than the model's context, or than the room for it.",
  TOKENIZER_UNSUPPORTED: "A tokenizer, or the chat template of one, is missing or does not do what is asked.",
  USAGE: "A command line, or a file of settings, is wrong.",
};

/** An error with its code. */
export type CodedError<E extends Error = Error, C extends ErrorCode = ErrorCode> = E & { readonly code: C };

/**
 * Gives an error its code.
 *
 * @example
 * ```ts
 * import { errorCode, withCode } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const error = withCode("INVALID_ARGUMENT", new RangeError("Expected rank above 0 but found 0"));
 * assert.ok(error instanceof RangeError);
 * assert.equal(errorCode(error), "INVALID_ARGUMENT");
 * ```
 */
export function withCode<E extends Error, const C extends ErrorCode>(code: C, error: E): CodedError<E, C> {
  return Object.assign(error, { code });
}

/**
 * The code of an error of graft's. Undefined for errors of others: those of the system have codes of their own, such as
 * "ENOENT", and an `AbortError` has a number.
 *
 * @example
 * ```ts
 * import { errorCode, loadModel, reference } from "@graft/peft";
 * import assert from "node:assert/strict";
 * const code = await loadModel("no/such/folder", { backend: reference() }).catch(errorCode);
 * assert.equal(code, "MODEL_NOT_FOUND");
 * assert.equal(errorCode(new Error("another's")), undefined);
 * ```
 */
export function errorCode(error: unknown): ErrorCode | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && Object.hasOwn(MEANINGS, code) ? code as ErrorCode : undefined;
}

/** A `RangeError` with its code. */
export const rangeError = <const C extends ErrorCode>(
  code: C,
  message: string,
  options?: ErrorOptions,
): CodedError<RangeError, C> => withCode(code, new RangeError(message, options));

/** A `TypeError` with its code. */
export const typeError = <const C extends ErrorCode>(
  code: C,
  message: string,
  options?: ErrorOptions,
): CodedError<TypeError, C> => withCode(code, new TypeError(message, options));

/** A `SyntaxError` with its code. */
export const syntaxError = <const C extends ErrorCode>(
  code: C,
  message: string,
  options?: ErrorOptions,
): CodedError<SyntaxError, C> => withCode(code, new SyntaxError(message, options));

/** An `Error` of no narrower kind, with its code. */
export const failure = <const C extends ErrorCode>(
  code: C,
  message: string,
  options?: ErrorOptions,
): CodedError<Error, C> => withCode(code, new Error(message, options));
