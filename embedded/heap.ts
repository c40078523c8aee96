/**
 * A binary heap of numbers with priorities: the greatest priority first, with ties broken by the smallest
 * item.
 */

interface Entry {
  readonly priority: number;
  readonly item: number;
}

const before = (a: Entry, b: Entry): boolean =>
  a.priority > b.priority || (a.priority === b.priority && a.item < b.item);

/** The heap. Both operations take O(log n). */
export class MaxHeap {
  readonly #entries: Entry[] = [];

  /** Adds an item. */
  push(priority: number, item: number): void {
    const entries = this.#entries;
    const entry = { priority, item };
    let at = entries.length;
    entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, entries[parent]!)) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  /** Removes and returns the first entry; undefined when empty. */
  pop(): { readonly priority: number; readonly item: number } | undefined {
    const entries = this.#entries;
    const first = entries[0];
    const moved = entries.pop();
    if (first === undefined || moved === undefined || entries.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && before(entries[child + 1]!, entries[child]!)) child++;
      if (!before(entries[child]!, moved)) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = moved;
    return first;
  }
}
