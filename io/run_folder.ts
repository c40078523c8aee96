/**
 * The folder of a training run:
 *
 *     adapter_config.json, adapter_model.safetensors, README.md    the result, when the run is finished; for full fine-tuning
 *                                                                  config.json, model.safetensors, the tokenizer, README.md
 *     run.yaml                                                     the options of the command that started it
 *     metrics.jsonl                                                one line per step or evaluation
 *     checkpoint/state.safetensors                                 the state from which the run continues
 *     checkpoint/start/                                            the starting point, after earlier stages
 *     checkpoint/reference/                                        what the reference of preference tuning says of the answers
 *     checkpoint/best.safetensors                                  the best parameters so far, if there are evaluations
 *
 * A finished run has no checkpoint, unless it is asked for: it would be many times the size of the adapter.
 * Earlier files are never changed: a new run refuses a nonempty folder. An overwriting run works in
 * `<folder>.new` next to it and replaces it when everything is written.
 */
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { exists, isNonEmpty } from "./path_exists.ts";
import { rangeError } from "../errors/error.ts";

/** What may already exist. */
export type RunMode = "new" | "resume" | "overwrite" | "resume overwrite";

/** A run's folder. Nothing is created before `create`. */
export interface RunFolder {
  /** The working folder of the run. */
  readonly path: string;
  /** The starting point of the run, after earlier stages. */
  readonly start: string;
  /** What was computed of the reference of preference tuning. */
  readonly references: string;
  readonly state: string;
  readonly best: string;
  readonly metrics: string;
  /** Whether there is a state to resume from. */
  readonly continues: boolean;
  create(): void;
  /** Removes the checkpoint, and moves the folder to its final place. */
  finish(options?: { readonly keepCheckpoint?: boolean }): void;
}

/**
 * Checks the output folder.
 *
 * @throws {RangeError} when it contains something that must not be lost, or nothing that could be resumed.
 */
export function openRunFolder(output: string, mode: RunMode): RunFolder {
  const target = output.replace(/[/\\]+$/, "") || output;
  switch (mode) {
    case "new":
      if (isNonEmpty(target)) {
        throw rangeError(
          "OUTPUT_EXISTS",
          `Cannot write to ${target}: it exists; give another folder, --resume to continue a run in it or ` +
            "--overwrite to replace it when the new run is done",
        );
      }
      return runFolder(target, target);
    case "resume": {
      const folder = runFolder(target, target);
      if (!folder.continues && isNonEmpty(target) && !exists(`${target}/checkpoint`)) {
        throw rangeError(
          "CANNOT_RESUME",
          exists(`${target}/metrics.jsonl`)
            ? `Cannot resume ${target}: its run is finished, and kept no checkpoint`
            : `Cannot resume ${target}: it has no checkpoint/state.safetensors`,
        );
      }
      return folder;
    }
    case "overwrite": {
      if (!isNonEmpty(target)) return runFolder(target, target);
      if (!exists(`${target}/metrics.jsonl`) && !exists(`${target}/adapter_config.json`)) {
        throw rangeError(
          "OUTPUT_EXISTS",
          `Cannot overwrite ${target}: it has neither metrics.jsonl nor adapter_config.json, so it is no result of an ` +
            "earlier run; delete it yourself or give another folder",
        );
      }
      const staging = `${target}.new`;
      if (isNonEmpty(staging)) {
        throw rangeError(
          "OUTPUT_EXISTS",
          `Cannot overwrite ${target}: ${staging} holds an interrupted run; continue it with --resume --overwrite or ` +
            "delete it",
        );
      }
      return runFolder(staging, target);
    }
    case "resume overwrite": {
      const staging = `${target}.new`;
      return exists(staging) ? runFolder(staging, target) : openRunFolder(output, "overwrite");
    }
    default:
      return mode satisfies never;
  }
}

function runFolder(path: string, target: string): RunFolder {
  const state = `${path}/checkpoint/state.safetensors`;
  return {
    path,
    start: `${path}/checkpoint/start`,
    references: `${path}/checkpoint/reference`,
    state,
    best: `${path}/checkpoint/best.safetensors`,
    metrics: `${path}/metrics.jsonl`,
    continues: exists(state),
    create: () => {
      mkdirSync(`${path}/checkpoint`, { recursive: true });
      // A killed run may have left partial files, under names that are never read.
      for (const folder of [path, `${path}/checkpoint`]) {
        for (const name of readdirSync(folder)) {
          if (/\.partial-\d+$/.test(name)) rmSync(`${folder}/${name}`);
        }
      }
    },
    finish: ({ keepCheckpoint = false } = {}) => {
      if (!keepCheckpoint) rmSync(`${path}/checkpoint`, { recursive: true, force: true });
      if (path === target) return;
      const old = `${target}.graft-old`;
      if (exists(old)) rmSync(old, { recursive: true });
      renameSync(target, old);
      renameSync(path, target);
      rmSync(old, { recursive: true });
    },
  };
}
