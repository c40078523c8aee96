/**
 * The stream of commands: kernels are recorded one after another and submitted together when something is
 * read or when the ring of arguments is full. Pipelines and bind groups are created once. Reads are the only
 * waits.
 */
import type { OpenDevice } from "./device.ts";
import { type Arguments, type Kernel, writeArguments } from "./kernel.ts";
import type { Block } from "./pool.ts";
import { type Compiled, pipelines } from "./pipelines.ts";
import { ring } from "./ring.ts";
import { timer } from "./timer.ts";
import { failure } from "../../errors/error.ts";

/** A run of a buffer's bytes that a kernel reads or writes; `bytes` is a multiple of 16. */
export interface Span {
  readonly block: Block;
  readonly offset: number;
  readonly bytes: number;
}

/** One call of a kernel. */
export interface Call {
  /** Reads, then writes, in the kernel's order. */
  readonly spans: readonly Span[];
  readonly args?: Arguments;
  readonly constants?: Readonly<Record<string, number>>;
  readonly grid: readonly [number, number, number];
  /** Floating-point operations, for profiles; 0 for kernels limited by memory bandwidth. */
  readonly operations?: number;
}

/**
 * Statistics of what ran: calls, bytes read and written at least once, floating-point operations of products.
 */
export interface Tally {
  /** How often it ran. */
  readonly calls: number;
  /** Bytes read and written. */
  readonly bytes: number;
  /** Floating-point operations. */
  readonly operations: number;
  /** Time on the GPU, where requested and available. */
  readonly nanoseconds?: number;
}

/** A stream of commands on a device. */
export interface Stream {
  run(kernel: Kernel, call: Call): void;
  /** Copies host bytes into a block. Length and offset are multiples of 4. */
  write(block: Block, bytes: Uint8Array, offset: number): void;
  /** Copies bytes of one block to an offset of another. */
  copy(from: Block, to: Block, bytes: number, offset?: number): void;
  clear(block: Block, bytes: number): void;
  /** The first bytes of each block, after all previously recorded commands. */
  read(parts: readonly { readonly block: Block; readonly bytes: number }[]): Promise<readonly Uint8Array[]>;
  /** Submits the recorded commands. */
  flush(): void;
  /** Statistics since the start, by kernel; and the number of submissions. */
  tally(): ReadonlyMap<string, Tally>;
  submissions(): number;
  forget(): void;
}

/** Maximum number of calls per submission, so that the GPU starts while the host still records. */
const CALLS = 4096;
/** Words of arguments and of small uploads in one submission. */
const ARGUMENT_WORDS = 2 ** 18;
const STAGED_WORDS = 2 ** 18;
/** Uploads up to this many bytes are staged when earlier commands of the batch still use their target. */
const STAGED_BYTES = 2 ** 16;

/** Opens a stream. */
export function stream(open: OpenDevice): Stream {
  const { device } = open;
  const compiled = pipelines(open);
  const groups = new Map<string, GPUBindGroup>();
  const args = ring(
    device,
    ARGUMENT_WORDS,
    GPUBufferUsage.UNIFORM,
    device.limits.minUniformBufferOffsetAlignment,
  );
  const staged = ring(device, STAGED_WORDS, GPUBufferUsage.COPY_SRC, 16);
  const readers = new Map<number, GPUBuffer[]>();
  const tallies = new Map<string, { calls: number; bytes: number; operations: number }>();
  const clock = open.timed ? timer(device) : undefined;
  let encoder: GPUCommandEncoder | undefined;
  let pass: GPUComputePassEncoder | undefined;
  let [batch, calls, submissions] = [0, 0, 0];

  const commands = (): GPUCommandEncoder => {
    pass?.end();
    pass = undefined;
    return encoder ??= device.createCommandEncoder();
  };
  const computing = (): GPUComputePassEncoder => pass ??= commands().beginComputePass();
  const flush = (): void => {
    if (encoder === undefined) return;
    const fetch = clock?.resolve(commands());
    const finished = commands().finish();
    encoder = undefined;
    args.send();
    staged.send();
    device.queue.submit([finished]);
    fetch?.();
    [calls, batch, submissions] = [0, batch + 1, submissions + 1];
  };
  const groupOf = (compiled: Compiled, spans: readonly Span[]): GPUBindGroup => {
    let key = `${compiled.id}`;
    for (const { block, offset, bytes } of spans) key += `,${block.id}:${offset}:${bytes}`;
    let group = groups.get(key);
    if (group === undefined) {
      if (groups.size > 20_000) groups.clear();
      group = device.createBindGroup({
        layout: compiled.layout,
        entries: [
          { binding: 0, resource: { buffer: args.buffer, size: 4 * compiled.words } },
          ...spans.map(({ block, offset, bytes }, i) => ({
            binding: i + 1,
            resource: { buffer: block.buffer, offset, size: bytes },
          })),
        ],
      });
      groups.set(key, group);
    }
    return group;
  };
  const count = (name: string, spans: readonly Span[], operations: number): void => {
    let tally = tallies.get(name);
    if (tally === undefined) tallies.set(name, tally = { calls: 0, bytes: 0, operations: 0 });
    tally.calls++;
    tally.operations += operations;
    for (const { bytes } of spans) tally.bytes += bytes;
  };

  return {
    run(kernel, { spans, args: values = {}, constants = {}, grid, operations = 0 }): void {
      open.check();
      const ready = compiled.of(kernel, constants);
      if (calls >= CALLS || !args.fits(ready.words) || clock?.full()) flush();
      const at = args.take(ready.words);
      writeArguments(kernel, ready.fields, values, args, at);
      const group = groupOf(ready, spans);
      const current = clock
        ? commands().beginComputePass({ timestampWrites: clock.next(kernel.name) })
        : computing();
      current.setPipeline(ready.pipeline);
      current.setBindGroup(0, group, [4 * at]);
      current.dispatchWorkgroups(...grid);
      if (clock) current.end();
      for (const { block } of spans) block.touched = batch;
      calls++;
      count(kernel.name, spans, operations);
    },
    write(block, bytes, offset): void {
      open.check();
      if (block.touched === batch && encoder !== undefined) {
        const words = bytes.byteLength / 4;
        if (bytes.byteLength <= STAGED_BYTES && staged.fits(words)) {
          const at = staged.take(words);
          staged.words.set(new Uint32Array(bytes.slice().buffer), at);
          commands().copyBufferToBuffer(staged.buffer, 4 * at, block.buffer, offset, bytes.byteLength);
          return;
        }
        flush();
      }
      device.queue.writeBuffer(block.buffer, offset, bytes as Uint8Array<ArrayBuffer>);
    },
    copy(from, to, bytes, offset = 0): void {
      open.check();
      commands().copyBufferToBuffer(from.buffer, 0, to.buffer, offset, Math.ceil(bytes / 4) * 4);
      [from.touched, to.touched] = [batch, batch];
      count("copy", [{ block: from, offset: 0, bytes }, { block: to, offset: 0, bytes }], 0);
    },
    clear(block, bytes): void {
      open.check();
      commands().clearBuffer(block.buffer, 0, Math.ceil(bytes / 4) * 4);
      block.touched = batch;
      count("clear", [{ block, offset: 0, bytes }], 0);
    },
    async read(parts): Promise<readonly Uint8Array[]> {
      open.check();
      const lengths = parts.map(({ bytes }) => Math.ceil(bytes / 4) * 4);
      const total = Math.max(64, 2 ** Math.ceil(Math.log2(Math.max(1, lengths.reduce((a, b) => a + b, 0)))));
      const reader = readers.get(total)?.pop() ??
        device.createBuffer({ size: total, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      let at = 0;
      parts.forEach(({ block }, i) => {
        if (lengths[i]! > 0) commands().copyBufferToBuffer(block.buffer, 0, reader, at, lengths[i]!);
        at += lengths[i]!;
      });
      await Promise.resolve(); // reads requested together share a submission
      flush();
      try {
        await reader.mapAsync(GPUMapMode.READ);
      } catch (cause) {
        await open.ask(); // throws the reason: device lost, or out of memory
        throw failure("BACKEND_FAILED", "Cannot read from the GPU: the buffer could not be mapped", {
          cause,
        });
      }
      const mapped = reader.getMappedRange();
      at = 0;
      const results = parts.map(({ bytes }, i) => {
        const result = new Uint8Array(mapped.slice(at, at + bytes));
        at += lengths[i]!;
        return result;
      });
      reader.unmap();
      await clock?.settled();
      const list = readers.get(total);
      if (total > 2 ** 24) reader.destroy();
      else if (list) list.push(reader);
      else readers.set(total, [reader]);
      open.check();
      return results;
    },
    flush,
    tally: () =>
      new Map(
        [...tallies].map(([name, tally]) => {
          const nanoseconds = clock?.times().get(name);
          return [name, { ...tally, ...nanoseconds !== undefined && { nanoseconds } }];
        }),
      ),
    submissions: () => submissions,
    forget: () => groups.clear(),
  };
}
