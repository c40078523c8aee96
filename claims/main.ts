/**
 * `deno task claims [NAME …]`: the survey's claims (arXiv 2303.15647, and the article that sums it up), tried. Prints the
 * article's figure, ours, and whether they agree. `--json` for JSON, `--steps N` for longer runs.
 */
import type { Claim, Finding } from "./claim.ts";
import { openLab } from "./lab.ts";

/** The claims by the names of their files, in the article's order. */
const NAMES = [
  "gpt3_parameters",
  "gpt3_compute",
  "lora_of_a_large_matrix",
  "prompt_lengths",
  "prefix_network",
  "ia3_and_lora",
  "ia3_overhead",
  "intrinsic_dimension",
  "four_bit_types",
  "qpissa_error",
  "steps_to_a_loss",
  "rslora_gradients",
  "dora_at_low_rank",
  "krona_and_compacter",
  "bitfit_share",
  "diff_pruning_sparsity",
  "far_time",
] as const;

/** Every claim, or those of some names. @throws {RangeError} when there is none of a name. */
export async function claims(
  names: readonly string[] = NAMES,
): Promise<readonly (readonly [name: string, claim: Claim])[]> {
  const unknown = names.find((name) => !(NAMES as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`There is no claim "${unknown}": there are ${NAMES.join(", ")}`);
  }
  return await Promise.all(
    names.map(async (name) => [name, (await import(`./${name}.ts`)).claim as Claim] as const),
  );
}

function shown(title: string, { article, ours, verdict, note }: Finding): string {
  return [
    `${verdict.toUpperCase()}: ${title}`,
    `  article  ${article}`,
    `  ours     ${ours}`,
    ...note === undefined ? [] : [`  note     ${note}`],
  ].join("\n");
}

if (import.meta.main) {
  const args = [...Deno.args];
  const json = args.includes("--json");
  const at = args.indexOf("--steps");
  const steps = at < 0 ? 16 : Number(args[at + 1]);
  const names = args.filter((arg, i) => !arg.startsWith("--") && (at < 0 || i !== at + 1));
  if (!Number.isInteger(steps) || steps < 1) {
    console.error(`claims: expected --steps to be a positive integer but found "${args[at + 1]}"`);
    Deno.exit(2);
  }
  try {
    const chosen = await claims(names.length > 0 ? names : NAMES);
    const lab = await openLab({ steps });
    const all: Record<string, Finding & { readonly title: string }> = {};
    for (const [name, { title, check }] of chosen) {
      const finding = await check(lab);
      all[name] = { title, ...finding };
      if (!json) console.log(`${shown(title, finding)}\n`);
    }
    if (json) console.log(JSON.stringify(all, null, 2));
    lab.close();
  } catch (error) {
    console.error(`claims: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
