/**
 * `deno task bench [ROW…]`: this project and its peers side by side. Every figure is a ratio of interleaved runs on this
 * machine, with its spread; times stand beside only as context. Writes bench/results.json.
 */
import { interleave, type Peer, startPeer, summary } from "./peer.ts";

/** One comparison: ours first. */
interface Row {
  readonly name: string;
  readonly what: string;
  readonly peers: () => Promise<readonly Peer[]>;
  readonly repetitions: number;
}

const PYTHON = new URL("../.venv/bin/python", import.meta.url).pathname;
const here = (path: string): string => new URL(path, import.meta.url).pathname;
const deno = (
  path: string,
  ...args: string[]
): readonly string[] => [Deno.execPath(), "run", "-A", here(path), ...args];
/** The environment's BLAS settings are for old builds; they slow a current one. */
const python = (path: string, ...args: string[]): readonly string[] => [
  "env",
  "-u",
  "OPENBLAS_CORETYPE",
  "-u",
  "OPENBLAS_L2_SIZE",
  PYTHON,
  here(path),
  ...args,
];

const step = (name: string, what: string, args: readonly string[], repetitions: number): Row => ({
  name,
  what,
  repetitions,
  peers: async () => [
    await startPeer("graft", deno("peers/lora_step.ts", ...args)),
    await startPeer("PyTorch + PEFT", python("peers/lora_step.py", ...args)),
  ],
});

const ROWS: readonly Row[] = [
  step("lora-step", "LoRA step, SmolLM2-135M, 1x128 tokens, all labelled, 2 threads", [
    "2",
    "1",
    "128",
    "128",
  ], 9),
  step("lora-step-answers", "the same, 32 of 128 tokens labelled", ["2", "1", "128", "32"], 9),
  {
    name: "qlora-step",
    what: "QLoRA step (NF4, double quantization) against our own LoRA step, 1x128 tokens",
    repetitions: 9,
    peers: async () => [
      await startPeer("QLoRA", deno("peers/lora_step.ts", "2", "1", "128", "128", "nf4_double")),
      await startPeer("LoRA", deno("peers/lora_step.ts", "2", "1", "128", "128", "f32")),
    ],
  },
];

async function measure(row: Row): Promise<Record<string, unknown>> {
  const peers = await row.peers();
  const readings = await interleave(peers, { repetitions: row.repetitions, warmUp: 2 });
  const [ours, ...others] = peers.map((peer) => ({ peer, runs: readings.get(peer.name)! }));
  const own = ours!.runs.map((r) => r.milliseconds);
  const peak = (runs: readonly { readonly peakBytes: number }[]): number =>
    Math.max(...runs.map((r) => r.peakBytes));
  console.log(`\n${row.what}`);
  const ratios = others.map(({ peer, runs }) => {
    const each = summary(own.map((ms, i) => ms / runs[i]!.milliseconds));
    const memory = peak(ours!.runs) / peak(runs);
    console.log(
      `  ${ours!.peer.name} / ${peer.name}: time ${each.median.toFixed(2)} (${each.low.toFixed(2)}–${
        each.high.toFixed(2)
      }), ` +
        `peak memory ${memory.toFixed(2)}   [${summary(own).median.toFixed(0)} ms, ${
          summary(runs.map((r) => r.milliseconds)).median.toFixed(0)
        } ms]`,
    );
    return { peer: peer.name, versions: peer.versions, time: each, memory };
  });
  for (const peer of peers) await peer.stop();
  return { row: row.name, what: row.what, versions: ours!.peer.versions, ratios };
}

const wanted = Deno.args.length === 0 ? ROWS : ROWS.filter((row) => Deno.args.includes(row.name));
if (wanted.length === 0) {
  console.error(`No such row; there are ${ROWS.map((row) => row.name).join(", ")}`);
  Deno.exit(2);
}
const results = [];
for (const row of wanted) results.push(await measure(row));
const cpu = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1];
await Deno.writeTextFile(
  here("results.json"),
  JSON.stringify({ cpu, cores: navigator.hardwareConcurrency, results }, null, 2) + "\n",
);
