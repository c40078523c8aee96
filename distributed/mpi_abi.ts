/**
 * What MPI libraries differ in to a program without a header: the values of handles and constants. Three kinds cover what is in
 * use: the standard ABI of MPI 5 (chapter 20), Open MPI, whose handles are addresses of its own variables, and MPICH with its kin
 * (Intel MPI, MVAPICH, Microsoft MPI), whose handles are numbers.
 */

/** A library's handles and constants, as integers as wide as an address. */
export interface MpiAbi {
  readonly name: "the standard ABI" | "Open MPI" | "MPICH";
  /** MPI_COMM_WORLD. */
  readonly world: bigint;
  /** MPI_BYTE. */
  readonly byte: bigint;
  /** MPI_STATUS_IGNORE. */
  readonly ignored: bigint;
  /** MPI_THREAD_SERIALIZED: calls come from several threads, one at a time. */
  readonly serialized: number;
}

/** MPI 5.0, appendix A and mpi.h of the ABI. */
export const STANDARD: MpiAbi = {
  name: "the standard ABI",
  world: 0x101n,
  byte: 0x247n,
  ignored: 0n,
  serialized: 2048,
};

/** MPICH's mpi.h; the same since MPICH 3.1 by the initiative for its ABI. */
export const MPICH: MpiAbi = {
  name: "MPICH",
  world: 0x44000000n,
  byte: 0x4c00010dn,
  ignored: 1n,
  serialized: 2,
};

/** Open MPI's, by the addresses of its predefined objects. */
export const openMpiAbi = (addressOf: (symbol: string) => bigint): MpiAbi => ({
  name: "Open MPI",
  world: addressOf("ompi_mpi_comm_world"),
  byte: addressOf("ompi_mpi_byte"),
  ignored: 0n,
  serialized: 2,
});
