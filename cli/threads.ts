/** What the program does in threads of its own. */
import { type ErrorCode, errorCode, failure, withCode } from "../errors/error.ts";
import type { ThisThread } from "../platform/own_thread.ts";
import { UsageError } from "../tuning/usage_error.ts";
import { serveHere } from "./serve/computing.ts";

/** An error of a thread, as it is posted to the program that started it. */
export interface ThreadError {
  readonly kind: "failed";
  readonly message: string;
  readonly usage: boolean;
  readonly code?: ErrorCode;
}

/** Runs what a thread was started for. Errors are posted. */
export async function runThread(thread: ThisThread): Promise<void> {
  try {
    switch (thread.task) {
      case "serve":
        return await serveHere(thread);
      default:
        throw failure("INVALID_ARGUMENT", `There is no thread for "${thread.task}"`);
    }
  } catch (error) {
    const { message } = error instanceof Error ? error : { message: String(error) };
    const code = errorCode(error);
    const usage = error instanceof UsageError;
    const failed: ThreadError = { kind: "failed", message, usage, ...code !== undefined && { code } };
    thread.post(failed);
  }
}

/** The error that a thread posted. */
export const errorOf = ({ message, usage, code }: ThreadError): Error =>
  usage
    ? new UsageError(message)
    : code === undefined
    ? new Error(message)
    : withCode(code, new Error(message));
