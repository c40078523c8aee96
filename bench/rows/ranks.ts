/** What training in several processes costs on this machine; needs Open MPI's or MPICH's mpirun. */
import { atMost, type Row, script } from "../row.ts";

const two = (time: "step" | "sum", name: string) => script(name, "ranks.ts", { processes: 2, time });

/** The rows. */
export const ranks: readonly Row[] = [
  {
    name: "ranks-step",
    what:
      "native: LoRA step of 8x128 tokens in two processes of one thread each, of one process of two threads",
    repetitions: 3,
    warmUp: 0,
    peers: [
      two("step", "two processes"),
      atMost(1 / 0.9, script("one process", "ranks.ts", { processes: 1, time: "step" })),
    ],
  },
  {
    name: "ranks-sum",
    what: "native: sum of the gradients over two processes, of that step",
    repetitions: 3,
    warmUp: 0,
    peers: [two("sum", "the sum"), atMost(0.02, two("step", "the step"))],
  },
];
