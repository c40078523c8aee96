/**
 * The world of an MPI launcher (`mpirun`, `srun`), through the machine's own MPI library: bytes between ranks, by six of its
 * functions. Calls run on other threads, so that the event loop goes on, one at a time.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { failure } from "../errors/error.ts";
import { type CLibrary, openCLibrary } from "../platform/c_library.ts";
import type { World } from "../train/world.ts";
import type { Launcher } from "./launcher.ts";
import { type MpiAbi, MPICH, openMpiAbi, STANDARD } from "./mpi_abi.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The world of an MPI library, which ends with the program. */
export interface MpiWorld extends World {
  /** The library's own name and version. */
  readonly library: string;
  /** Leaves in agreement with all others. */
  finalize(): void;
  /** Ends the processes of all ranks at once. */
  abort(code: number): never;
}

/** The most bytes of one call: counts are 32 bits wide. */
const MOST = 2 ** 30;

const now = (...parameters: readonly string[]) => ({ parameters, result: "i32" });
const later = (...parameters: readonly string[]) => ({ parameters, result: "i32", nonblocking: true });

/** Handles are passed as integers as wide as an address, whatever the library calls them. */
const FUNCTIONS = {
  MPI_Get_library_version: now("buffer", "buffer"),
  MPI_Init_thread: now("usize", "usize", "i32", "buffer"),
  MPI_Comm_rank: now("usize", "buffer"),
  MPI_Comm_size: now("usize", "buffer"),
  MPI_Finalize: now(),
  MPI_Abort: now("usize", "i32"),
  MPI_Send: later("buffer", "i32", "usize", "i32", "i32", "usize"),
  MPI_Recv: later("buffer", "i32", "usize", "i32", "i32", "usize", "usize"),
  MPI_Bcast: later("buffer", "i32", "usize", "i32", "usize"),
  MPI_Allgather: later("buffer", "i32", "usize", "buffer", "i32", "usize", "usize"),
  MPI_Allgatherv: later("buffer", "i32", "usize", "buffer", "buffer", "buffer", "usize", "usize"),
};

/** Names of libraries, in the order in which they are tried. */
const NAMES: Readonly<Record<Launcher["name"], readonly string[]>> = {
  "Open MPI": ["libmpi.so.40", "libmpi_abi.so.1", "libmpi.40.dylib", "libmpi_abi.1.dylib"],
  PMI: [
    "libmpi_abi.so.1",
    "libmpich.so.12",
    "libmpi.so.12",
    "libmpi_abi.1.dylib",
    "libmpi.12.dylib",
    "msmpi.dll",
  ],
  Slurm: ["libmpi_abi.so.1", "libmpi.so.40", "libmpich.so.12", "libmpi.so.12"],
};

/** Where the environment says that things are. */
export interface MpiPlaces {
  /** `GRAFT_MPI`: the library to take. */
  readonly library: string | undefined;
  /** `PATH`: a library beside the launcher that is found first belongs to it. */
  readonly path: string;
}

/** The libraries to try: the one that was named, or those of the launcher in PATH, then those that the system knows. */
export function librariesFor({ name }: Launcher, { library, path }: MpiPlaces): readonly string[] {
  if (library !== undefined) return [library];
  const launcher = path.split(/[:;]/).find((folder) => existsSync(`${folder}/mpirun`));
  const beside = launcher === undefined ? [] : NAMES[name].map((file) => `${dirname(launcher)}/lib/${file}`);
  return [...beside.filter((file) => existsSync(file)), ...NAMES[name]];
}

/**
 * Opens the MPI library and joins the other ranks. To be called once in a program.
 *
 * @throws {Error} when no library can be opened, or it knows of other processes than the launcher: it is of another MPI.
 */
export function openMpi(launcher: Launcher, places: MpiPlaces): MpiWorld {
  const tried = librariesFor(launcher, places);
  const faults: string[] = [];
  for (const path of tried) {
    let library: CLibrary;
    try {
      library = openCLibrary(path, FUNCTIONS);
    } catch (error) {
      faults.push((error as Error).message.split("\n")[0]!);
      continue;
    }
    return join(library, path, launcher);
  }
  throw failure(
    "MPI_UNAVAILABLE",
    `${launcher.name} launched ${launcher.size} processes, but no MPI library opens (tried ${
      tried.join(", ")
    }; ${faults[0]}): install one, name its file in GRAFT_MPI, or say --distributed off`,
  );
}

/** The kind of a library. */
function abiOf({ addressOf }: CLibrary, path: string): MpiAbi {
  if (addressOf("ompi_mpi_comm_world") !== undefined) return openMpiAbi((symbol) => addressOf(symbol)!);
  return /mpi_abi/.test(path) ? STANDARD : MPICH;
}

type Blocking = (...given: readonly unknown[]) => number;
type Promising = (...given: readonly unknown[]) => Promise<number>;

function join(library: CLibrary, path: string, launcher: Launcher): MpiWorld {
  const abi = abiOf(library, path);
  const { MPI_Init_thread, MPI_Comm_rank, MPI_Comm_size, MPI_Finalize, MPI_Abort, MPI_Get_library_version } =
    library
      .symbols as Readonly<Record<string, Blocking>>;
  const { MPI_Send, MPI_Recv, MPI_Bcast, MPI_Allgather, MPI_Allgatherv } = library.symbols as Readonly<
    Record<string, Promising>
  >;
  const number = (call: (into: Int32Array<ArrayBuffer>) => number): number => {
    const into = new Int32Array(1);
    checked("MPI", call(into));
    return into[0]!;
  };
  const provided = number((into) => MPI_Init_thread!(0n, 0n, abi.serialized, into));
  if (provided < abi.serialized) {
    throw failure("MPI_UNAVAILABLE", `${path} was built without threads: MPI_THREAD_SERIALIZED is needed`);
  }
  const [rank, size] = [MPI_Comm_rank!, MPI_Comm_size!].map((f) => number((into) => f(abi.world, into))) as [
    number,
    number,
  ];
  if (size !== launcher.size || rank !== launcher.rank) {
    throw failure(
      "MPI_UNAVAILABLE",
      `${launcher.name} launched process ${launcher.rank} of ${launcher.size}, but to ${path} it is ${rank} of ${size}: ` +
        "the library is of another MPI than the launcher; name the right one in GRAFT_MPI",
    );
  }
  const version = new Uint8Array(8192);
  number((into) => MPI_Get_library_version!(version, into));
  // One call at a time: what MPI_THREAD_SERIALIZED asks for.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(call: () => Promise<T>): Promise<T> => {
    const next = last.then(call);
    last = next.catch(() => {});
    return next;
  };
  const inParts = (bytes: Bytes, call: (part: Bytes) => Promise<number>): Promise<void> =>
    inTurn(async () => {
      for (let at = 0; at < bytes.length; at += MOST) {
        checked("MPI", await call(bytes.subarray(at, Math.min(bytes.length, at + MOST))));
      }
    });
  return {
    rank,
    size,
    library: new TextDecoder().decode(version).replace(/\0[^]*$/, "").split("\n")[0]!.trim(),
    send: (to, bytes) => inParts(bytes, (part) => MPI_Send!(part, part.length, abi.byte, to, 0, abi.world)),
    receive: (from, into) =>
      inParts(into, (part) => MPI_Recv!(part, part.length, abi.byte, from, 0, abi.world, abi.ignored)),
    broadcast: (from, bytes) =>
      inParts(bytes, (part) => MPI_Bcast!(part, part.length, abi.byte, from, abi.world)),
    gather: (own) =>
      inTurn(async () => {
        const lengths = new Int32Array(size);
        checked(
          "MPI_Allgather",
          await MPI_Allgather!(Int32Array.of(own.length), 4, abi.byte, lengths, 4, abi.byte, abi.world),
        );
        const starts = Int32Array.from(lengths, (_, r) => lengths.subarray(0, r).reduce((a, b) => a + b, 0));
        const all = new Uint8Array(lengths.reduce((a, b) => a + b, 0));
        checked(
          "MPI_Allgatherv",
          await MPI_Allgatherv!(own, own.length, abi.byte, all, lengths, starts, abi.byte, abi.world),
        );
        return Array.from(lengths, (length, r) => all.slice(starts[r]!, starts[r]! + length));
      }),
    finalize: () => void MPI_Finalize!(),
    abort: (code) => {
      MPI_Abort!(abi.world, code);
      throw failure("MPI_FAILED", "MPI_Abort came back");
    },
  };
}

/** @throws {Error} when a call did not return MPI_SUCCESS. */
function checked(name: string, code: number): void {
  if (code !== 0) throw failure("MPI_FAILED", `${name} failed with code ${code}`);
}
