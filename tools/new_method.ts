/**
 * `deno task new-method FAMILY NAME`: the two files of a new method, with its entry in the laws. The generated method works and
 * passes its tests: a gain for each output of every linear layer. Change the formula, then the laws' entry, and run
 * `deno task index`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** The spellings of a method's name. */
export interface MethodNames {
  /** "my-method", as people write it. */
  readonly name: string;
  /** "my_method", of files. */
  readonly file: string;
  /** "myMethod", of the factory. */
  readonly factory: string;
  /** "MyMethod", of types. */
  readonly type: string;
}

/** The rooms of methods, as docs/methods names them. */
export const FAMILIES = [
  "low_rank",
  "structured",
  "adapters",
  "soft_prompts",
  "rescaling",
  "selective",
  "side_networks",
  "hybrids",
] as const;

/** One of them. */
export type Family = typeof FAMILIES[number];

/** Reserved words, which cannot be function names. */
const RESERVED =
  ("arguments await break case catch class const continue debugger default delete do else enum eval export extends false " +
    "finally for function if implements import in instanceof interface let new null package private protected public " +
    "return static super switch this throw true try typeof undefined var void while with yield").split(" ");

/**
 * The spellings of "my-method".
 *
 * @throws {SyntaxError} when the name is not lower case words joined by hyphens, or a reserved word.
 */
export function methodNames(name: string): MethodNames {
  if (RESERVED.includes(name)) {
    throw new SyntaxError(`"${name}" is a word of TypeScript: choose another name`);
  }
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
    throw new SyntaxError(
      `Expected lower case words joined by hyphens, such as my-method, but found "${name}"`,
    );
  }
  const words = name.split("-");
  const type = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
  return { name, file: words.join("_"), factory: type[0]!.toLowerCase() + type.slice(1), type };
}

/** The method's file. */
function methodText({ name, factory, type }: MethodNames): string {
  return `/**
 * TODO name. TODO authors and year, "TODO title", arXiv TODO, section TODO.
 *
 *   y = g ⊙ (W x + b)        g [out], ones at first
 *
 * TODO where this departs from the authors' code, and in which of its files.
 */
import type { DefinedMethod, TargetOptions, Tensor } from "../../core/mod.ts";
import { defineLinear } from "../shared/define_linear.ts";
import { ones } from "../shared/initial.ts";

/** Options. */
export type ${type}Options = TargetOptions;

/**
 * TODO what it is, in a sentence. Parameters: one vector a layer under its path, \`….q_proj.g\` [out].
 *
 * @throws {RangeError} when targets match nothing.
 * @example
 * \`\`\`ts
 * import { ${factory} } from "@graft/peft";
 * import assert from "node:assert/strict";
 * assert.equal(${factory}().name, "${name}");
 * \`\`\`
 */
export const ${factory}: DefinedMethod<${type}Options> = defineLinear<${type}Options, { readonly g: Tensor }>({
  name: "${name}",
  summary: "TODO what it does, in one sentence of at most 90 characters.",
  options: {},
  params: ({ outFeatures }) => ({ g: ones([outFeatures]) }),
  change: ({ g }) => ({ form: "scale", out: g }),
  cli: { rate: 1e-3, flags: ["targets"] },
  published: { setting: "TODO the setting of its literature" },
});
`;
}

/** Its test's file. */
function testText(family: Family, { file, factory }: MethodNames): string {
  return `/** ${factory} obeys the laws of methods. */
import { chooseTargets, sizesOf } from "../../../core/mod.ts";
import { ${factory} } from "../../../methods/${family}/${file}.ts";
import { methodLaws } from "../../support/method_laws.ts";

methodLaws("${factory}()", {
  method: () => ({ method: ${factory}({ targets: "all-linear" }) }),
  // Whether a fresh adapter leaves the model as it is, and whether weights can hold a trained one.
  atInit: "base",
  merges: "and unmerges",
  // The paper's formula.
  counts: ({ spec }) => {
    const n = chooseTargets(spec, { targets: "all-linear" })
      .reduce((sum, place) => sum + sizesOf(place).outFeatures, 0);
    return { added: n, trainable: n };
  },
});

// TODO a golden case that another program made: a script in tests/oracles/, read here by goldenMethods (tests/support/golden_case.ts).
// TODO counts that the paper prints (tests/support/published_counts.ts), and what is refused (tests/support/bad_options.ts).
`;
}

/** Rooms whose exports meet in the project's `mod.ts`. */
const ROOMS = ["tensor", "core", "formats", "io", "methods", "models", "ops", "recipes", "train"];

/** The file that already exports a name of the method. */
function exporterOf({ factory, type }: MethodNames, root: string): string | undefined {
  const exported = new RegExp(
    `^export (?:async )?(?:function|const|class|interface|type) (?:${factory}|${type}Options)\\b`,
    "m",
  );
  const files = ROOMS.flatMap((room) =>
    readdirSync(`${root}/${room}`, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts")).map((path) => `${room}/${path}`)
  );
  return files.find((path) => exported.test(readFileSync(`${root}/${path}`, "utf8")));
}

/**
 * Writes the files below a project's root.
 *
 * @returns The written and changed files.
 * @throws {RangeError} when one of them exists, or the name is already exported; then nothing is written.
 */
export function newMethod(family: Family, name: string, root: string): readonly string[] {
  const names = methodNames(name);
  const [method, test] = [
    `methods/${family}/${names.file}.ts`,
    `tests/methods/${family}/${names.file}.test.ts`,
  ] as const;
  const there = [method, test].find((path) => existsSync(`${root}/${path}`));
  if (there !== undefined) throw new RangeError(`${there} exists already: choose another name`);
  const exporter = exporterOf(names, root);
  if (exporter !== undefined) {
    throw new RangeError(`${exporter} exports ${names.factory} or ${names.type}Options: choose another name`);
  }
  for (const path of [method, test]) mkdirSync(dirname(`${root}/${path}`), { recursive: true });
  writeFileSync(`${root}/${method}`, methodText(names));
  writeFileSync(`${root}/${test}`, testText(family, names));
  return [method, test];
}

if (import.meta.main) {
  const [given, name, ...more] = Deno.args;
  const family = FAMILIES.find((known) => known === given);
  if (family === undefined || name === undefined || more.length > 0) {
    console.error(`Usage: deno task new-method FAMILY my-method\nFAMILY is one of ${FAMILIES.join(", ")}`);
    Deno.exit(2);
  }
  try {
    const paths = newMethod(family, name, fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, ""));
    console.log(`Wrote ${paths.join(", ")}. Next: deno task index, then deno test -A ${paths[1]}`);
  } catch (error) {
    console.error(`new-method: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
