/** Tasks of methods that train several at once: the rows of a batch to which an edit applies. */
import { rangeError } from "../../errors/error.ts";

/** Options of a method for several tasks. */
export interface TaskOptions {
  /** The tasks' names, default one task "0". A batch gives each row's task in `rows`, as with `perRow`. */
  readonly tasks?: readonly string[];
  /** The task of every row, regardless of the batch; default: the only task, if there is just one. */
  readonly task?: string | undefined;
}

/** One task: its index, and the name that its rows must have. */
export interface Task {
  /** Its index in the tensors. */
  readonly number: number;
  /** `row` of its edits; empty where it applies to all rows. */
  readonly rows: { readonly row?: string };
}

/** @throws {RangeError} when there is not a task, two have one name, or `task` names none. */
export function checkTasks({ tasks = ["0"], task }: TaskOptions): void {
  if (tasks.length === 0) throw rangeError("INVALID_ARGUMENT", "Expected at least one task but found none");
  const twice = tasks.find((name, i) => tasks.indexOf(name) !== i);
  if (twice !== undefined) {
    throw rangeError("INVALID_ARGUMENT", `Expected tasks of different names but found "${twice}" twice`);
  }
  if (task !== undefined && !tasks.includes(task)) {
    throw rangeError("INVALID_ARGUMENT", `Expected task to name ${tasks.join(", ")} but found "${task}"`);
  }
}

/** The tasks that an adapter performs: the selected one, or each for its own rows. */
export function tasksOf({ tasks = ["0"], task }: TaskOptions): readonly Task[] {
  const only = tasks.length === 1 ? tasks[0] : task;
  return only === undefined
    ? tasks.map((row, number) => ({ number, rows: { row } }))
    : [{ number: tasks.indexOf(only), rows: {} }];
}
