/** The running program in a thread of its own, started by its module as `runOwnProgram` starts it in a process. */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { ownModule } from "./own_program.ts";

/** A thread, as the program that started it sees it. */
export interface OwnThread {
  post(message: unknown): void;
  /** Ends it, whatever it does. */
  end(): Promise<void>;
}

/** What a thread knows of itself. */
export interface ThisThread {
  /** What it was started for. */
  readonly task: string;
  readonly data: unknown;
  post(message: unknown): void;
  /** `heard` gets the messages of the program that started it, which keep the thread alive. */
  listen(heard: (message: unknown) => void): void;
}

/**
 * Starts this program in a thread: its `main([])`, which finds out by `thisThread()` what it is for.
 *
 * @param main The program's module among the sources; npm's package has it as `./cli`.
 * @param failed Called when the thread ends by an error that nobody caught.
 */
export function startOwnThread(
  main: URL,
  task: string,
  data: unknown,
  heard: (message: unknown) => void,
  failed: (error: unknown) => void,
): OwnThread {
  const module = ownModule(main);
  const program = `import { main } from ${JSON.stringify(module)};\nawait main([]);`;
  const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(program)), {
    workerData: { [MARK]: task, data },
  });
  worker.on("message", heard);
  worker.on("error", failed);
  return {
    post: (message) => worker.postMessage(message),
    end: async () => void await worker.terminate(),
  };
}

/** The thread that this code runs in, where `startOwnThread` started it. */
export function thisThread(): ThisThread | undefined {
  if (isMainThread || parentPort === null) return undefined;
  const { [MARK]: task, data } = (workerData ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof task !== "string") return undefined;
  const port = parentPort;
  return {
    task,
    data,
    post: (message) => port.postMessage(message),
    listen: (heard) => void port.on("message", heard),
  };
}

const MARK = "graftTask";
