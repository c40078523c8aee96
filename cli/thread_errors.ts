/** Errors on their way from a thread to the program that started it. */
import { type ErrorCode, errorCode, withCode } from "../errors/error.ts";
import { UsageError } from "../tuning/usage_error.ts";

/** An error of a thread, as it is posted to the program that started it. */
export interface ThreadError {
  readonly kind: "failed";
  readonly message: string;
  readonly usage: boolean;
  readonly code?: ErrorCode;
}

/** An error as it is posted. */
export function postedError(error: unknown): ThreadError {
  const { message } = error instanceof Error ? error : { message: String(error) };
  const code = errorCode(error);
  const usage = error instanceof UsageError;
  return { kind: "failed", message, usage, ...code !== undefined && { code } };
}

/** The error that a thread posted. */
export const errorOf = ({ message, usage, code }: ThreadError): Error =>
  usage
    ? new UsageError(message)
    : code === undefined
    ? new Error(message)
    : withCode(code, new Error(message));
