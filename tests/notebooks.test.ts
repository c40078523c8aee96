/** The notebooks as they are committed: they ran, and what they import is there. `deno task notebooks` runs them anew. */
import assert from "node:assert/strict";
import { cpSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseHTML } from "npm:linkedom@^0.18";
import { escaped, shown, stacked } from "../notebooks/shown.ts";
import { picture, Plot } from "../notebooks/plot.ts";
import { sortable } from "../notebooks/table.ts";
import { constantGate, watched } from "../notebooks/gates.ts";
import { lowRankShares, magnitudeAndDirection } from "../notebooks/spectra.ts";
import { spread } from "../notebooks/curves.ts";
import { show } from "../notebooks/show.ts";
import { tune } from "../notebooks/tune.ts";
import { dispose, key, leaves, loadModel, lora, memory, read, reference, tensor } from "../mod.ts";
import { rowsFrom } from "../train/mod.ts";
import { temporaryFolder } from "./cli/tiny.ts";
import { deno } from "./support/deno.ts";
import { GOLDEN } from "./support/golden.ts";

const folder = fileURLToPath(new URL("../notebooks/", import.meta.url));
const names = [
  "customer_service_summaries",
  "from_an_empty_folder",
  "methods_table",
  "unipelt_from_parts",
  "what_an_adapter_did",
];

interface Cell {
  readonly cell_type: "code" | "markdown";
  readonly source: readonly string[] | string;
  readonly execution_count?: number | null;
  readonly outputs?: readonly {
    readonly output_type: string;
    readonly data?: Readonly<Record<string, unknown>>;
  }[];
}

const cellsOf = (name: string): readonly Cell[] =>
  JSON.parse(Deno.readTextFileSync(`${folder}${name}.ipynb`)).cells;

const codeOf = (name: string): readonly Cell[] => cellsOf(name).filter((cell) => cell.cell_type === "code");

const sourceOf = ({ source }: Cell): string => typeof source === "string" ? source : source.join("");

Deno.test("the folder holds the notebooks that are tested", () => {
  const found = [...Deno.readDirSync(folder)].map((e) => e.name).filter((n) => n.endsWith(".ipynb")).sort();
  assert.deepEqual(found, names.map((name) => `${name}.ipynb`));
});

for (const name of names) {
  Deno.test(`${name} ran from its first cell to its last without an error`, () => {
    const cells = codeOf(name);
    assert.ok(cells.length > 3);
    assert.deepEqual(cells.map((cell) => cell.execution_count), cells.map((_, i) => i + 1));
    const outputs = cells.flatMap((cell) => cell.outputs ?? []);
    assert.deepEqual(outputs.filter((output) => output.output_type === "error"), []);
    assert.ok(outputs.some(({ data }) => data !== undefined && "text/html" in data));
    const pictures = outputs.map(({ data }) => [data?.["image/svg+xml"], data?.["text/html"]].flat().join(""))
      .filter((media) => media.includes("<svg"));
    assert.ok(pictures.length > 0, "no plot was drawn");
  });

  Deno.test(`${name} says nothing of the machine it ran on`, () => {
    const text = Deno.readTextFileSync(`${folder}${name}.ipynb`);
    for (const trace of ["file:///", "/home/", "/root/", "/tmp/", Deno.cwd()]) {
      assert.ok(!text.includes(trace), `${name} holds ${trace}`);
    }
  });
}

Deno.test("the cells of every notebook pass the type checker", async () => {
  const files: string[] = [];
  try {
    for (const name of names) {
      const file = await Deno.makeTempFile({ dir: folder, prefix: `.${name}-`, suffix: ".ts" });
      files.push(file);
      await Deno.writeTextFile(file, codeOf(name).map((cell) => `${sourceOf(cell)}\n;`).join("\n"));
    }
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: ["check", "--quiet", ...files] })
      .output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  } finally {
    for (const file of files) await Deno.remove(file);
  }
});

Deno.test("what notebooks call runs in a folder with spaces, from another directory, without network, GPU or write permission", async () => {
  const root = fileURLToPath(new URL("../", import.meta.url));
  using other = temporaryFolder();
  const copy = `${other.path}/a folder (with spaces)`;
  for (const { name } of Deno.readDirSync(root)) {
    if (/^(\.|tests$|bench$|claims$|docs$|examples$|runs$|node_modules$)/.test(name)) continue;
    const unwanted = (from: string): boolean =>
      /\/(\.venv|crate|target)(\/|$)/.test(from.slice(root.length - 1));
    cpSync(`${root}${name}`, `${copy}/${name}`, { recursive: true, filter: (from) => !unwanted(from) });
  }
  Deno.writeTextFileSync(
    `${copy}/notebooks/cell.ts`,
    `import { openWorkshop } from "./workshop.ts";
     import { show } from "./show.ts";
     Object.defineProperty(navigator, "gpu", { get: () => { throw new Error("a GPU was asked for"); } });
     const shop = await openWorkshop({ train: 4, heldOut: 2 });
     console.log(show(shop.model).media["text/plain"], shop.train.count);
     shop.close();`,
  );
  const flags = ["--no-check", "--no-prompt", "--cached-only", "--allow-read", "--allow-env", "--deny-net"];
  const { code, said } = await deno(["run", ...flags, `${copy}/notebooks/cell.ts`], other.path);
  assert.equal(code, 0, said);
  assert.match(said, /tensors, 2,164,416 numbers.* 4\n$/s);
});

Deno.test("shown() displays its media to the kernel", () => {
  const view = stacked(shown({ "text/html": "<b>1</b>", "text/plain": "1" }), shown({ "text/plain": "2" }));
  const display = (view as unknown as Record<symbol, () => unknown>)[Symbol.for("Jupyter.display")]!;
  assert.deepEqual(display(), { "text/html": "<b>1</b>\n", "text/plain": "1\n\n2" });
  assert.equal(escaped('<a href="x">&'), "&lt;a href=&quot;x&quot;&gt;&amp;");
});

Deno.test("picture() is one SVG that stands alone", () => {
  const svg = picture("a line", { marks: [Plot.lineY([1, 3, 2])] }).media["image/svg+xml"]!;
  assert.match(svg, /^<svg[^>]* xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.equal(svg.match(/<svg/g)!.length, 1);
  assert.match(svg, /aria-label="a line"/);
});

Deno.test("sortable() gives numbers for sorting and texts for showing", () => {
  const { media } = sortable([{ n: 1500 }, { n: 20 }], [
    { title: "name", text: ({ n }) => `<${n}>` },
    { title: "n", text: ({ n }) => `${n / 1000} k`, value: ({ n }) => n },
  ]);
  assert.match(media["text/html"]!, /data-value="1500">1.5 k</);
  assert.match(media["text/html"]!, /&lt;20&gt;/);
  assert.equal(media["text/plain"], "name         n\n<1500>   1.5 k\n<20>    0.02 k");
});

Deno.test("sortable() sorts around the heading that is clicked: falling, then rising", () => {
  const { media } = sortable([3, 20, 1].map((n) => ({ n })), [
    { title: "name", text: ({ n }) => `row ${n}` },
    { title: "n", text: ({ n }) => String(n), value: ({ n }) => n },
  ]);
  const { document } = parseHTML(`<html><body>${media["text/html"]}</body></html>`) as unknown as Page;
  const clicked = (i: number): string => {
    const heading = document.querySelectorAll("th")[i]!;
    new Function(heading.getAttribute("onclick")!).call(heading);
    return [...document.querySelectorAll("tbody tr")].map((row) => row.children[1]!.textContent).join(" ");
  };
  assert.equal(clicked(1), "20 3 1");
  assert.equal(clicked(1), "1 3 20");
  assert.equal(clicked(0), "3 20 1"); // names fall: "row 3", "row 20", "row 1"
});

interface Page {
  readonly document: {
    querySelectorAll(selector: string): Iterable<PageElement> & { readonly [i: number]: PageElement };
  };
}

interface PageElement {
  readonly children: { readonly [i: number]: PageElement };
  readonly textContent: string;
  getAttribute(name: string): string | null;
}

Deno.test("show() groups leaves whose paths differ in numbers alone", () => {
  const backend = reference();
  const leaf = () => tensor([[1, 2]], { backend });
  const text = show({ layers: { "0": { a: leaf() }, "1": { a: leaf() } }, head: leaf() })
    .media["text/plain"]!;
  assert.match(text, /^3 tensors, 6 numbers, 24 B/);
  assert.match(text, /layers\.\{0…1\}\.a +\[1, 2\] +f32 +2 +4/);
});

Deno.test("watched() leaves a gate's value and tells it", async () => {
  const backend = reference();
  const seen: number[] = [];
  const gate = watched(constantGate(), () => seen.push(1));
  const texts = tensor([[[1, 2]], [[3, 4]]], { backend });
  const value = gate.value(gate.init(2, key(0), backend), texts);
  assert.deepEqual(value.shape, [2, 1, 1]);
  assert.deepEqual([...await read(value)], [0.5, 0.5]);
  assert.deepEqual(seen, [1]);
});

Deno.test("magnitudeAndDirection() tells growth from turning", () => {
  const matrix = (values: readonly number[]) => ({ rows: 1, columns: 2, values: Float32Array.from(values) });
  // Twice as long; then rotated by a right angle at the same length.
  assert.deepEqual(magnitudeAndDirection({ base: matrix([3, 4]), delta: matrix([3, 4]) }), {
    magnitude: 5,
    direction: 0,
  });
  assert.deepEqual(magnitudeAndDirection({ base: matrix([1, 0]), delta: matrix([-1, 1]) }), {
    magnitude: 0,
    direction: 1,
  });
});

Deno.test("lowRankShares() are shares of the squared singular values", () => {
  const shares = lowRankShares({ rows: 2, columns: 3, values: new Float32Array(6) }, [2, 1]);
  assert.deepEqual(shares, [{ numbers: 5, share: 0.8 }, { numbers: 10, share: 1 }]);
});

Deno.test("spread() moves names that would lie on each other apart, and no others", () => {
  const end = (name: string, loss: number) => ({ name, step: 9, loss });
  const moved = spread([end("b", 1.1), end("a", 1), end("c", 3)], 0.5);
  assert.deepEqual(moved, [end("a", 1), end("b", 1.5), end("c", 3)]);
});

Deno.test("tune() leaves the adapter it trained and nothing else", async () => {
  const backend = reference();
  const model = await loadModel(`${GOLDEN}llama_lora/base`, { backend });
  const rows = rowsFrom([[3, 1, 4, 1], [5, 9, 2]].map((ids) => ({ inputIds: ids, labels: ids })));
  const shop = {
    ...{ backend, model, train: rows, heldOut: rows, pad: 0 },
    text: () => ({ dialogue: "", summary: "" }),
    close: () => {},
  };
  const { live } = memory(backend);
  const { adapter, points } = await tune(shop, lora({ rank: 2 }), { steps: 2, rate: 0.01 });
  assert.equal(points.length, 2);
  const tensors = leaves(adapter.params).map(([, tensor]) => tensor);
  assert.equal(memory(backend).live - live, tensors.reduce((sum, { bytes }) => sum + bytes, 0));
  for (const tensor of tensors) assert.ok((await read(tensor)).some((number) => number !== 0), "it trained");
  dispose(adapter.params);
  assert.equal(memory(backend).live, live);
  model.dispose();
});
