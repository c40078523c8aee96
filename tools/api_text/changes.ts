/** Which names of the API differ between two of its texts, and whether the changelog says so. */

/** Names of a text of the API, each with its lines: `Name` for a declaration, `Name.member` for what stands below it. */
export function namesOf(text: string): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const add = (name: string, line: string): void => {
    names.set(name, names.has(name) ? `${names.get(name)}\n${line}` : line);
  };
  let room = "";
  let owner = "";
  for (const line of text.split("\n").filter((line) => line !== "")) {
    if (line.startsWith("# ")) {
      room = line;
    } else if (line.startsWith("  ")) {
      add(`${owner}.${memberName(line)}`, line);
    } else {
      [, owner = ""] = /^\w+ ([\w$]+)/.exec(line) ?? [];
      if (owner === "") throw new RangeError(`A line of the API without a name: ${line}`);
      add(owner, `${room}: ${line}`);
    }
  }
  return names;
}

/** The name of a member's line: `readonly rank?: number` is of "rank". */
function memberName(line: string): string {
  const text = line.trim().replace(/^static /, "").replace(/^readonly /, "").replace(
    /^[gs]et (?=[\w$["])/,
    "",
  );
  if (/^[<(]/.test(text)) return "()";
  if (/^\[\w+: /.test(text)) return "[]";
  const [, name] = /^([\w$]+|\[[\w.]+\]|"[^"]*")/.exec(text) ?? [];
  if (name === undefined) throw new RangeError(`A member of the API without a name: ${line}`);
  return name;
}

/** Names whose lines differ. Of a declaration that is new or gone its members are not named, too. */
export function changedNames(before: string, after: string): readonly string[] {
  const [old, now] = [namesOf(before), namesOf(after)];
  const ownerOf = (name: string): string => name.split(".")[0]!;
  const isWhole = (name: string): boolean => old.has(ownerOf(name)) && now.has(ownerOf(name));
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((name) => old.get(name) !== now.get(name) && (!name.includes(".") || isWhole(name))).sort();
}

/** The newest section of a changelog when it is of no release, or undefined. */
export function unreleasedSection(changelog: string): string | undefined {
  const [, newest = ""] = changelog.split(/^## /m);
  return /^.*not yet released/.test(newest) ? newest : undefined;
}

/** What a section says below its heading "### API". */
const apiPart = (section: string): string =>
  /^### API\n([\s\S]*?)(?=^### |(?![\s\S]))/m.exec(section)?.[1] ?? "";

/** The names that a section says changed: those between backticks before the colon of each item. */
export const notedNames = (section: string): readonly string[] =>
  [...apiPart(section).matchAll(/^- ((?:`[^`]+`(?:, | and )?)+): \S/gm)]
    .flatMap(([, names]) => [...names!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));

/** What is compared: two texts of the API, and the changelog that should tell of the difference. */
export interface Compared {
  /** The API as it stands. */
  readonly current: string;
  /** The API from which the changelog's newest section starts. */
  readonly released: string;
  /** SHA-256 of `released`. */
  readonly releasedHash: string;
  /** CHANGELOG.md. */
  readonly changelog: string;
}

/** What the changelog fails to say of the API, or says without reason; a sentence each. */
export function complaintsOf({ current, released, releasedHash, changelog }: Compared): readonly string[] {
  const section = unreleasedSection(changelog);
  const changed = changedNames(released, current);
  if (section === undefined) {
    return changed.length === 0 ? [] : [
      `The API changed after the last release (${changed.join(", ")}): begin a section "not yet released"`,
    ];
  }
  const noted = notedNames(section);
  const started = apiPart(section).includes(`\`${releasedHash}\``);
  return [
    ...started ? [] : [
      `CHANGELOG.md's part "### API" does not say that it starts from the API ${releasedHash}: ` +
      "released.txt is rewritten by a release alone",
    ],
    ...changed.filter((name) => !noted.includes(name)).map((name) =>
      `${name} of the API changed, and CHANGELOG.md's part "### API" has no item of it: - \`${name}\`: what changed.`
    ),
    ...noted.filter((name) => !changed.includes(name)).map((name) =>
      `CHANGELOG.md says that ${name} of the API changed, which it did not`
    ),
  ];
}
