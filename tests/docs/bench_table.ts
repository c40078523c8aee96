/** The table of measured ratios in docs/performance.md, from bench/results.json: `deno task docs:bench` writes it. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

interface Ratio {
  readonly peer: string;
  readonly versions?: Readonly<Record<string, string>>;
  readonly time?: Spread;
  readonly memory?: number;
}

interface Results {
  readonly cpu: string;
  readonly cores: number;
  readonly results: readonly { readonly what: string; readonly ratios?: readonly Ratio[] }[];
}

const BEGIN = "<!-- bench: written by `deno task docs:bench` from bench/results.json -->";
const END = "<!-- end of bench -->";
const digits = (x: number): string => x.toFixed(2);

/** The table as Markdown. */
export function benchTable({ cpu, cores, results }: Results): string {
  const rows = results.flatMap(({ what, ratios = [] }) =>
    ratios.flatMap(({ peer, versions = {}, time, memory }) => {
      const version = Object.entries("graft" in versions ? {} : versions).map(([name, v]) =>
        `${name} ${v.replace(/\+.*$/, "")}`
      ).join(
        ", ",
      );
      const took = time === undefined
        ? ""
        : `${digits(time.median)} (${digits(time.low)} to ${digits(time.high)})`;
      return [
        `| ${what} | ${peer}${version === "" ? "" : ` (${version})`} | ${took} | ${
          memory === undefined ? "" : digits(memory)
        } |`,
      ];
    })
  );
  return ["| row | peer | time | peak memory |", "|---|---|---|---|", ...rows, "", `${cpu}, ${cores} cores.`]
    .join("\n");
}

/** The page with the table between its marks. @throws {RangeError} when a mark is missing. */
export function withBenchTable(page: string, table: string): string {
  const [start, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (start < 0 || end < start) {
    throw new RangeError("docs/performance.md has lost the marks around its table");
  }
  return `${page.slice(0, start + BEGIN.length)}\n${table}\n${page.slice(end)}`;
}

if (import.meta.main) {
  const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const results: Results = JSON.parse(readFileSync(at("bench/results.json"), "utf8"));
  const page = at("docs/performance.md");
  writeFileSync(page, withBenchTable(readFileSync(page, "utf8"), benchTable(results)));
}
