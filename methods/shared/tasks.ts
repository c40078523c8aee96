/** Tasks of methods that train many at once: which rows of a batch an edit holds for. */

/** Options of a method of many tasks. */
export interface TaskOptions {
  /** The tasks' names, default one task "0". A batch says each row's in `rows`, as under `perRow`. */
  readonly tasks?: readonly string[];
  /** The task of every row, whatever the batch says; where there is one task, default that. */
  readonly task?: string;
}

/** One task: its number among all, and the name that rows must have. */
export interface Task {
  /** Its place in the tensors. */
  readonly number: number;
  /** `row` of its edits; nothing where it holds for all rows. */
  readonly rows: { readonly row?: string };
}

/** @throws {RangeError} when there is no task, two have one name, or `task` names none. */
export function checkTasks({ tasks = ["0"], task }: TaskOptions): void {
  if (tasks.length === 0) throw new RangeError("Expected at least one task but found none");
  const twice = tasks.find((name, i) => tasks.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new RangeError(`Expected tasks of different names but found "${twice}" twice`);
  }
  if (task !== undefined && !tasks.includes(task)) {
    throw new RangeError(`Expected task to name ${tasks.join(", ")} but found "${task}"`);
  }
}

/** The tasks that an adapter does: the one that is chosen, or each for its own rows. */
export function tasksOf({ tasks = ["0"], task }: TaskOptions): readonly Task[] {
  const only = tasks.length === 1 ? tasks[0] : task;
  return only === undefined
    ? tasks.map((row, number) => ({ number, rows: { row } }))
    : [{ number: tasks.indexOf(only), rows: {} }];
}
