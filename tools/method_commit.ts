/**
 * `deno run -A tools/method_commit.ts [COMMIT…]`: what adding a method took. Lists the files that each commit touches, by
 * `git show --stat`, and fails where more than three of them were written by hand: the method, its test, and the script that
 * makes its golden case. The index, the exports, the pages of methods, the API's text and golden files are generated; the
 * changelog does not count.
 */
import { execFileSync } from "node:child_process";

/** Files that commands write, and the changelog. */
const GENERATED =
  /^(CHANGELOG\.md|methods\/(index|exports)\.ts|docs\/methods\/\w+\.md|docs\/api\/current\.txt|tests\/oracles\/(index\.md|golden\/.*))$/;

/** The most that are written by hand. */
const MOST = 3;

/** Files of a commit, by who writes them. */
export function filesOf(paths: readonly string[]): Readonly<Record<"hand" | "generated", readonly string[]>> {
  return {
    hand: paths.filter((path) => !GENERATED.test(path)),
    generated: paths.filter((path) => GENERATED.test(path)),
  };
}

if (import.meta.main) {
  let wrong = 0;
  for (const commit of Deno.args.length === 0 ? ["HEAD"] : Deno.args) {
    const said = execFileSync("git", ["show", "--stat=400", "--format=%s", commit], { encoding: "utf8" });
    const [subject, ...lines] = said.trim().split("\n");
    const paths = lines.flatMap((line) => / (\S+) +\| +\S+/.exec(line)?.[1] ?? []);
    const { hand, generated } = filesOf(paths);
    console.log(`${subject}\n  by hand: ${hand.join(", ")}\n  generated: ${generated.join(", ")}`);
    if (hand.length > MOST) wrong++;
  }
  if (wrong > 0) throw new Error(`${wrong} of them took more than ${MOST} files by hand`);
}
