/**
 * A place for programs that may know nothing of this machine: no network but loopback, an empty home, and the clone hidden.
 * Linux's namespaces make it, which need root or the right to make a namespace of users.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import process from "node:process";
import { systemCode } from "../../platform/files.ts";

/** What a program said, and how it ended. */
export interface Ended {
  readonly code: number;
  /** Standard output. */
  readonly said: string;
  /** Standard error. */
  readonly noted: string;
}

/** More of a program's surroundings. */
export interface Surroundings {
  readonly cwd: string;
  /** Folders of programs, before the system's. */
  readonly path: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Where to write the names of the files that it opens. */
  readonly trace?: string;
  /** Most milliseconds; default five minutes. */
  readonly patience?: number;
}

/** See the module's comment. */
export interface Sandbox extends Disposable {
  /** Runs a program to its end, whatever that is. */
  try(command: readonly string[], surroundings: Surroundings): Ended;
  /** As `try`; what it said. @throws with all of what it said when it fails. */
  run(command: readonly string[], surroundings: Surroundings): string;
  /** Starts a program that goes on until `stop` or the sandbox ends. */
  start(command: readonly string[], surroundings: Surroundings): ChildProcess;
  /** Ends a program and those that it started, and waits for it. */
  stop(child: ChildProcess): Promise<void>;
  /** Makes a folder read-only for every program in the sandbox, root as well. */
  seal(folder: string): void;
}

/** Opens one in which `hidden` folders are empty, with a new home at `home`. @throws {Error} where namespaces are refused. */
export function openSandbox(hidden: readonly string[], home: string): Sandbox {
  mkdirSync(home, { recursive: true });
  const user = process.getuid!() === 0 ? [] : ["--map-root-user"];
  const keeper = spawn("unshare", [
    ...user,
    "--mount",
    "--net",
    "--propagation",
    "private",
    "sleep",
    "infinity",
  ], {
    stdio: "ignore",
  });
  const inside = (command: readonly string[]): readonly string[] => [
    "--target",
    String(keeper.pid),
    ...user.length > 0 ? ["--user", "--preserve-credentials"] : [],
    "--mount",
    "--net",
    ...command,
  ];
  const asRoot = (...command: readonly string[]): void => {
    const { status, stderr, error } = spawnSync("nsenter", inside(command), { encoding: "utf8" });
    if (status !== 0) {
      throw new Error(`Cannot make a sandbox: ${command.join(" ")}: ${error?.message ?? stderr}`);
    }
  };
  waitForNamespace(keeper.pid!);
  asRoot("ip", "link", "set", "lo", "up");
  for (const folder of hidden) asRoot("mount", "-t", "tmpfs", "none", folder);
  const started: ChildProcess[] = [];

  const within = (
    command: readonly string[],
    { cwd, path, env = {}, trace }: Surroundings,
  ): readonly string[] =>
    inside([
      "env",
      "-i",
      `--chdir=${cwd}`,
      `PATH=${[...path, "/usr/bin", "/bin"].join(":")}`,
      `HOME=${home}`,
      "NO_COLOR=1",
      "DENO_NO_UPDATE_CHECK=1",
      ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
      ...trace === undefined ? [] : ["strace", "-f", "-qq", "-e", "trace=%file", "-o", trace],
      ...command,
    ]);
  const attempt = (command: readonly string[], surroundings: Surroundings): Ended => {
    const { status, stdout, stderr, error } = spawnSync("nsenter", within(command, surroundings), {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      timeout: surroundings.patience ?? 300_000,
    });
    return { code: status ?? 1, said: stdout.trim(), noted: `${stderr}${error?.message ?? ""}`.trim() };
  };
  return {
    try: attempt,
    run(command, surroundings) {
      const { code, said, noted } = attempt(command, surroundings);
      assert.equal(code, 0, `${command.join(" ")}\n${said}\n${noted}`);
      return said;
    },
    start(command, surroundings) {
      const child = spawn("nsenter", within(command, surroundings), {
        stdio: ["ignore", "pipe", "pipe"],
        detached: true, // a group of its own, which ends together
      });
      started.push(child);
      return child;
    },
    async stop(child) {
      const ended = child.exitCode !== null || child.signalCode !== null;
      const closed = ended ? undefined : new Promise((done) => child.once("close", done));
      endGroup(child, "SIGTERM");
      await closed;
    },
    seal(folder) {
      asRoot("mount", "--bind", folder, folder);
      asRoot("mount", "-o", "remount,ro,bind", folder);
    },
    [Symbol.dispose]() {
      for (const child of started) endGroup(child, "SIGKILL");
      keeper.kill("SIGKILL");
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Ends a group of processes, if it still runs. */
function endGroup({ pid }: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(-pid!, signal);
  } catch (error) {
    if (systemCode(error) !== "ESRCH") throw error;
  }
}

/** unshare makes its namespaces before it becomes the program that keeps them. */
function waitForNamespace(pid: number): void {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() === "sleep") return;
    } catch {
      break;
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
  throw new Error("Cannot make a sandbox: unshare did not start");
}
