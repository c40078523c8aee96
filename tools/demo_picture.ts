/**
 * `deno task docs:picture`: docs/demo.svg, the README's demo table as a picture with the losses drawn to
 * scale.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The table's rows under the heading that has "ROUGE-L" and "file". @throws {RangeError} when the README has none. */
export function demoRows(readme: string): readonly (readonly string[])[] {
  const lines = readme.split("\n");
  const head = lines.findIndex((line) => line.startsWith("| |") && line.includes("file |"));
  if (head < 0) throw new RangeError("README.md has lost the demo's table");
  const cells = (line: string): readonly string[] => line.split("|").slice(1, -1).map((cell) => cell.trim());
  const after = lines.slice(head + 2);
  const end = after.findIndex((line) => !line.startsWith("|"));
  return [cells(lines[head]!), ...after.slice(0, end < 0 ? after.length : end).map(cells)];
}

const LEFT = [16, 250, 345, 430, 520, 800, 905] as const;
const [ROW, TOP, SCALE] = [34, 64, 14] as const;

/** The picture. Columns: name, trainable, weights, peak, held-out loss, ROUGE-L, file. */
export function demoPicture(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const text = (x: number, y: number, words: string, more = ""): string =>
    `<text x="${x}" y="${y}"${more}>${words.replace(/&/g, "&amp;").replace(/</g, "&lt;")}</text>`;
  const line = (row: readonly string[], i: number): string => {
    const y = TOP + ROW * (i + 1);
    const [before = 0, after = 0] = (row[4] ?? "").split("→").map(Number);
    const bar = (value: number, colour: string, up: number): string =>
      `<rect x="${LEFT[4]}" y="${y - 12 + up}" width="${
        (value * SCALE).toFixed(1)
      }" height="7" fill="${colour}"/>`;
    return [
      ...row.map((cell, column) =>
        text(
          column === 4 ? LEFT[4] + 7.2 * SCALE : LEFT[column]!,
          y,
          cell,
          column === 0 ? ' font-weight="600"' : "",
        )
      ),
      bar(before, "#c8c8c8", -3),
      bar(after, "#0072b2", 5),
    ].join("");
  };
  const height = TOP + ROW * body.length + 28;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 980 ${height}" font-family="sans-serif" font-size="13" fill="#222">
<title>deno task demo: four ways to fine-tune, side by side</title>
<rect width="980" height="${height}" fill="#fff"/>
${text(16, 26, "deno task demo", ' font-family="monospace" font-size="15"')}
${head.map((cell, column) => text(LEFT[column]!, TOP - 6, cell, ' fill="#777"')).join("")}
<path d="M16 ${TOP + 4}H964" stroke="#ddd"/>
${body.map(line).join("\n")}
</svg>
`;
}

if (import.meta.main) {
  const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
  writeFileSync(at("docs/demo.svg"), demoPicture(demoRows(readFileSync(at("README.md"), "utf8"))));
}
