/** Optimizer state outside compute memory: host memory up to a budget, then a file. See `moments.ts`. */
import { closeSync, ftruncateSync, openSync, unlinkSync } from "node:fs";
import {
  byteLength,
  bytesOf,
  dispose,
  type DType,
  fromBytes,
  leaves,
  nest,
  overlay,
  scope,
  type Synchronous,
  type Tensor,
  trainable,
  type Tree,
} from "../core/mod.ts";
import { checked, leafOf, type Moments, updateLeaf } from "./moments.ts";
import { freshSlots, type Optimizer, type Slots } from "./optimizer.ts";
import { readAt, writeAt } from "../platform/files.ts";
import { temporaryFile } from "../platform/temporary.ts";
import { failure } from "../errors/error.ts";

/** Options of paged optimizer state. */
export interface PagedOptions {
  /** Host memory in bytes; anything beyond is stored in a temporary file. Default: no limit. */
  readonly hostBudget?: number;
  /** Folder of the file. Default: the system's. */
  readonly folder?: string;
}

interface Page {
  readonly name: string;
  readonly dtype: DType;
  readonly leaf: Tensor;
  /** In host memory, or at an offset of the file. */
  readonly at: { bytes: Uint8Array } | { readonly offset: number };
}

/**
 * State loaded leaf by leaf. Numerically identical to the plain optimizer.
 *
 * @throws {Error} when the file cannot be written, as on a full disk; the message names it and its size.
 * @example
 * ```ts
 * import { reference } from "@graft/peft";
 * import { zeros } from "@graft/peft/ops";
 * import { adamw, paged } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const params = { a: zeros([8], reference()), b: zeros([8], reference()) };
 * const moments = await paged(adamw(), params, { hostBudget: 64 }); // bytes
 * assert.deepEqual(moments.bytes(), { resident: 0, host: 64, disk: 64 });
 * moments.dispose();
 * ```
 */
export async function paged(
  optimizer: Optimizer,
  params: Tree,
  options: PagedOptions = {},
): Promise<Moments> {
  const { hostBudget = Infinity } = options;
  const pages = new Map<string, Page>();
  let [host, disk] = [0, 0];
  for (const [path, leaf] of leaves(trainable(params))) {
    for (const [slot, dtype] of Object.entries(optimizer.slots(leaf))) {
      const size = byteLength(dtype, leaf.shape);
      const fits = host + size <= hostBudget;
      const name = `${path}/${slot}`;
      pages.set(name, { name, dtype, leaf, at: fits ? { bytes: new Uint8Array(size) } : { offset: disk } });
      if (fits) host += size;
      else disk += size;
    }
  }
  const file = disk > 0 ? openPageFile(disk, options.folder) : undefined;

  const readPage = (page: Page): Uint8Array =>
    "bytes" in page.at ? page.at.bytes : file!.read(page.at.offset, byteLength(page.dtype, page.leaf.shape));
  const writePage = (page: Page, bytes: Uint8Array): void => {
    if ("bytes" in page.at) page.at.bytes = bytes;
    else file!.write(page.at.offset, bytes);
  };
  const pagesOf = (path: string): readonly Page[] =>
    Object.keys(optimizer.slots(leafOf(params, path))).map((slot) => pages.get(`${path}/${slot}`)!);
  try {
    for (const [path, leaf] of leaves(trainable(params))) {
      const fresh = scope((): Synchronous<Slots> => freshSlots(optimizer, leaf));
      try {
        for (const page of pagesOf(path)) {
          writePage(page, await bytesOf(fresh[page.name.slice(path.length + 1)]!));
        }
      } finally {
        dispose(fresh);
      }
    }
  } catch (error) {
    file?.close();
    throw error;
  }

  return {
    optimizer,
    bytes: () => ({ resident: 0, host, disk }),
    apply: async (params, gradients, step) => {
      const updated: (readonly [string, Tensor])[] = [];
      for (const [path, gradient] of leaves(gradients)) {
        const next = scope((): Synchronous<{ readonly leaf: Tensor; readonly slots: Slots }> => {
          const slots = Object.fromEntries(
            pagesOf(path).map((page) => [
              page.name.slice(path.length + 1),
              fromBytes(readPage(page), page.leaf.shape, page.dtype, gradient.backend),
            ]),
          );
          return updateLeaf(optimizer, params, path, gradient, slots, step);
        });
        for (const page of pagesOf(path)) {
          const slot = next.slots[page.name.slice(path.length + 1)]!;
          writePage(page, await bytesOf(slot));
          dispose(slot);
        }
        updated.push([path, next.leaf]);
      }
      return overlay(params, nest(updated) as Tree);
    },
    async *save() {
      for (const page of pages.values()) {
        yield [page.name, {
          dtype: page.dtype,
          shape: page.leaf.shape,
          bytes: await Promise.resolve(readPage(page)),
        }];
      }
    },
    restore: (saved) => {
      for (const page of pages.values()) {
        writePage(page, checked(saved, page.name, page.dtype, page.leaf).bytes);
      }
      return Promise.resolve();
    },
    dispose: () => file?.close(),
  };
}

interface PageFile {
  read(offset: number, size: number): Uint8Array;
  write(offset: number, bytes: Uint8Array): void;
  close(): void;
}

/** The file is unlinked immediately, so that a killed run leaves none behind. */
function openPageFile(size: number, folder: string | undefined): PageFile {
  const path = temporaryFile("graft-optimizer-", folder);
  const file = openSync(path, "r+");
  unlinkSync(path);
  const writing = (work: () => void): void => {
    try {
      work();
    } catch (cause) {
      throw failure(
        "CANNOT_WRITE",
        `Cannot write ${size} bytes of optimizer state to ${path}: ${(cause as Error).message}; ` +
          "free some room there or give the state more host memory",
        { cause },
      );
    }
  };
  try {
    writing(() => ftruncateSync(file, size));
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return {
    read: (offset, size) => {
      const bytes = new Uint8Array(size);
      const n = readAt(file, offset, bytes);
      if (n < size) {
        throw failure("INVALID_ARGUMENT", `The page file ${path} ended after ${offset + n} bytes`);
      }
      return bytes;
    },
    write: (offset, bytes) => writing(() => writeAt(file, offset, bytes)),
    close: () => closeSync(file),
  };
}
