/** What the program does in threads of its own. */
import { failure } from "../errors/error.ts";
import type { ThisThread } from "../platform/own_thread.ts";
import { serveHere } from "./serve/computing.ts";
import { postedError } from "./thread_errors.ts";
import { countHere } from "./tokenizing/thread.ts";

/** Runs what a thread was started for. Errors are posted. */
export async function runThread(thread: ThisThread): Promise<void> {
  try {
    switch (thread.task) {
      case "serve":
        return await serveHere(thread);
      case "tokenize":
        return countHere(thread);
      default:
        throw failure("INVALID_ARGUMENT", `There is no thread for "${thread.task}"`);
    }
  } catch (error) {
    thread.post(postedError(error));
  }
}
