/** Assembles the kernels of one device into a backend. */
import type { Backend, Raw } from "../../tensor/backend.ts";
import { attentionKernels } from "./attentions.ts";
import { castKernels } from "./casts.ts";
import { checkMarks, MARK_BYTES } from "./checks.ts";
import { context, type Handle } from "./context.ts";
import type { OpenDevice } from "./device.ts";
import { elementwiseKernels } from "./elementwise.ts";
import { moveKernels } from "./moves.ts";
import { type Pool, pool } from "./pool.ts";
import { productKernels } from "./products.ts";
import { rowKernels } from "./rows.ts";
import { stream, type Tally } from "./stream.ts";
import { tableBytes } from "./tables.ts";
import { rangeError } from "../../errors/error.ts";

/** Statistics of what has run on a GPU backend so far. */
export interface Profile {
  /** Calls, bytes that their bindings cover, and floating-point operations of products and attention, by kernel. */
  readonly kernels: ReadonlyMap<string, Tally>;
  /** Batches of commands. */
  readonly submissions: number;
}

/** A backend on a GPU, with statistics of its work. */
export interface GpuBackend extends Backend {
  /** The adapter's description of itself. */
  readonly adapter: string;
  /** Whether the adapter is a program on the CPU, such as Mesa's llvmpipe, and no card. */
  readonly software: boolean;
  /** Whether subgroup operations are used. */
  readonly subgroups: boolean;
  /** Statistics since the start. */
  profile(): Profile;
}

/** A backend over a device. */
export function backend(open: OpenDevice): GpuBackend {
  const commands = stream(open);
  const blocks: Pool = pool(open, () => {
    commands.flush();
    commands.forget();
  });
  const shared = context(open, commands, blocks);
  commands.write(shared.tables.block, tableBytes(), 0);
  commands.write(shared.marks.block, new Uint8Array(MARK_BYTES), 0);
  const own = blocks.held();

  return {
    name: "gpu",
    adapter: open.description,
    software: open.software,
    subgroups: open.subgroups,
    profile: () => ({ kernels: commands.tally(), submissions: commands.submissions() }),
    allocate: (bytes: number): Handle => shared.allocate(bytes),
    release: (raw: Raw): void => shared.release(raw as Handle),
    upload(raw: Raw, bytes: Uint8Array, offset: number = 0): void {
      const handle = raw as Handle;
      if (offset % 4 !== 0) {
        throw rangeError("INVALID_TENSOR", `Expected an upload at a multiple of 4 bytes but found ${offset}`);
      }
      if (bytes.byteLength === 0) return;
      if (handle.block === undefined && bytes.byteLength === handle.bytes) {
        handle.constant = new Uint32Array(padded(bytes).slice().buffer)[0]!;
        return;
      }
      const block = shared.block({ raw, shape: [], dtype: "u8" });
      handle.constant = undefined;
      commands.write(block, padded(bytes), offset);
    },
    async download(raw: Raw, bytes: number): Promise<Uint8Array> {
      const block = shared.block({ raw, shape: [], dtype: "u8" });
      const parts = [{ block, bytes }, { block: shared.marks.block, bytes: MARK_BYTES }];
      const [found, marks] = await commands.read(parts);
      if (marks!.some((byte) => byte !== 0)) {
        commands.write(shared.marks.block, new Uint8Array(MARK_BYTES), 0);
        checkMarks(marks!);
      }
      return found!;
    },
    pooled: (): number => blocks.pooled() + own,
    close(): void {
      blocks.destroy();
      open.close();
    },
    ...castKernels(shared),
    ...elementwiseKernels(shared),
    ...rowKernels(shared),
    ...moveKernels(shared),
    ...productKernels(shared),
    ...attentionKernels(shared),
  };
}

/** Bytes with zeros up to a multiple of four. */
function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength % 4 === 0) return bytes;
  const result = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  result.set(bytes);
  return result;
}
