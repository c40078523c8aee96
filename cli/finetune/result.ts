/** The resulting files of a run. */
import process from "node:process";
import { type Adapter, count, keep, merge, type Model } from "../../core/mod.ts";
import type { Tokenizer } from "../../formats/tokenizer.ts";
import type { RunFolder } from "../../io/run_folder.ts";
import { refusedByPeft, saveAdapter } from "../../io/save_adapter.ts";
import { saveModel } from "../../io/save_model.ts";
import { saveTask } from "../../io/task_file.ts";
import { openTrainingState } from "../../io/training_state.ts";
import type { Task } from "../../models/mod.ts";
import type { RunProgress } from "../../recipes/supervised.ts";
import type { Training } from "../../train/mod.ts";
import type { Data } from "../data.ts";
import { disposeNew, type Started } from "../../tuning/prepare.ts";
import { commandLineOf } from "../../tuning/chosen_method.ts";
import type { ChosenFlags, FinetuneFlags } from "./settings.ts";
import { note, shellWord } from "../terminal/output.ts";

/** The information about a run in the files. */
export interface FinishedRun {
  readonly flags: ChosenFlags<FinetuneFlags & { readonly data: string }>;
  readonly folder: RunFolder;
  /** The model as loaded. */
  readonly model: Model<Tokenizer>;
  readonly started: Started<Model<Tokenizer>>;
  readonly task: Task | undefined;
  readonly data: Data;
}

/** Writes the adapter, or the model where every weight was trained. */
export async function writeResult(
  run: FinishedRun,
  training: Training<Adapter["params"]>,
  end: RunProgress,
): Promise<void> {
  const { flags, folder, model, data, started, task } = run;
  const best = end.seen.best;
  const useBest = flags.keep === "best" && best !== undefined && best.step !== training.step;
  using state = useBest ? openTrainingState(folder.best) : undefined;
  const root = state === undefined ? undefined : keep(state.params(model.backend));
  const adapter = root === undefined ? training.adapter() : { ...training.adapter(), params: root.tree };
  const card = {
    data: `${data.train.count} examples of ${flags.data}, SHA-256 ${data.sha256}`,
    command: ["graft", ...process.argv.slice(2)].map(shellWord).join(" "),
    ...flags.licence !== undefined && { licence: flags.licence },
  };
  try {
    if (commandLineOf(flags.definition).writes === "model") {
      const merged = merge(model, adapter, { leaves: "lazy" });
      const { trainable: trained } = count(model, adapter);
      await saveModel(folder.path, merged, { card: { ...card, method: adapter.method.name, trained } });
      merged.dispose();
      return;
    }
    const finished = await started.finish(adapter);
    try {
      const refused = refusedByPeft(finished, model);
      if (refused !== undefined) note("Saved in graft's own form: PEFT has none for this");
      await saveAdapter(folder.path, finished, model, {
        format: refused === undefined ? "peft" : "graft",
        methods: flags.own,
        card,
      });
      if (task !== undefined && task.kind !== "embed") await saveTask(folder.path, task);
    } finally {
      disposeNew(finished, adapter);
    }
  } finally {
    root?.dispose();
  }
}
