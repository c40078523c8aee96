/** An output that changes while its cell runs: training shows itself in place instead of scrolling by. */
import { escaped, type Shown, shown } from "./shown.ts";

/** An output of the running cell. */
export interface Live {
  /** Shows something else in its place. */
  update(view: Shown): Promise<void>;
}

/** What is used of Deno's kernel; absent outside it. */
interface Kernel {
  broadcast(type: string, content: Readonly<Record<string, unknown>>): Promise<void>;
}

/** Shows a first view. Outside a notebook nothing is shown. */
export async function live(first: Shown): Promise<Live> {
  const kernel = kernelHere();
  if (kernel === undefined) return { update: () => Promise.resolve() };
  const send = (type: string, { media }: Shown): Promise<void> =>
    kernel.broadcast(type, { data: media, metadata: {}, transient: { display_id: id } });
  const id = crypto.randomUUID();
  await send("display_data", first);
  return { update: (view) => send("update_display_data", view) };
}

function kernelHere(): Kernel | undefined {
  try {
    return (Deno as { readonly jupyter?: Kernel }).jupyter;
  } catch {
    return undefined; // the name exists, but throws where no kernel runs
  }
}

/** A bar with a caption: `done` of `total` steps. */
export function bar(done: number, total: number, caption: string): Shown {
  const part = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(20 * part);
  return shown({
    "text/html":
      `<div style="font:13px system-ui,sans-serif"><progress value="${done}" max="${total}" style="width:16em"></progress> ` +
      `${done} / ${total} ${escaped(caption)}</div>`,
    "text/plain": `${"█".repeat(full)}${"░".repeat(20 - full)} ${done} / ${total} ${caption}`,
  });
}
