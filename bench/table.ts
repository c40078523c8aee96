/** `deno run -R bench/table.ts`: bench/results.json as the table in bench/README.md. */

interface Peer {
  readonly peer: string;
  readonly time: { readonly median: number; readonly low: number; readonly high: number };
  readonly memory: number;
  readonly timeAtMost?: number;
  readonly memoryAtMost?: number;
}

const file = new URL("results.json", import.meta.url);
const { results } = JSON.parse(Deno.readTextFileSync(file)) as {
  results: readonly {
    readonly row: string;
    readonly what: string;
    readonly cpu: string;
    readonly peers: readonly Peer[];
  }[];
};
const limit = (value: number | undefined): string => value === undefined ? "" : `≤ ${value.toFixed(2)}`;
console.log(
  "| row | what | to | time (quartiles) | target | peak memory | on |\n|---|---|---|---|---|---|---|",
);
for (const { row, what, cpu, peers } of results) {
  for (const [i, { peer, time, memory, timeAtMost, memoryAtMost }] of peers.entries()) {
    const figures = `${time.median.toFixed(2)} (${time.low.toFixed(2)}–${time.high.toFixed(2)})`;
    const room = memoryAtMost === undefined
      ? memory.toFixed(2)
      : `${memory.toFixed(2)} (${limit(memoryAtMost)})`;
    const name = i === 0 ? `\`${row}\` | ${what}` : "|";
    const maker = i === 0 ? /EPYC|Xeon|Ryzen|Core|Apple \w+/.exec(cpu)?.[0] ?? cpu : "";
    console.log(`| ${name} | ${peer} | ${figures} | ${limit(timeAtMost)} | ${room} | ${maker} |`);
  }
}
