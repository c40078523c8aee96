/** The public names of each export of deno.json as text: one line a signature, members below what they belong to. */
import { type Member, membersOf, type Node, parametersText, typeParametersText, typeText } from "./types.ts";

/** What `deno doc --json` writes of several files. */
export interface Documented {
  readonly version: number;
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly Node[] }>>;
}

const extendsText = (types: readonly Node[] | undefined): string =>
  types === undefined || types.length === 0 ? "" : ` extends ${types.map(typeText).join(", ")}`;

/** Names and overloads stand in the order of their letters, whatever the order of the files. */
const byName = <T extends { readonly name: string }>(a: T, b: T): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

const memberLines = (members: readonly Member[]): readonly string[] =>
  members.toSorted(byName).map(({ text }) => `  ${text}`);

/** The lines of one declaration. @throws {RangeError} when its kind is not known. */
function declarationLines(name: string, { kind, def }: Node): readonly string[] {
  switch (kind) {
    case "function":
      return [
        `function ${name}${typeParametersText(def.typeParams)}${parametersText(def.params)}: ${
          typeText(def.returnType)
        }`,
      ];
    case "variable":
      return [`const ${name}: ${typeText(def.tsType)}`];
    case "typeAlias":
      return [`type ${name}${typeParametersText(def.typeParams)} = ${typeText(def.tsType)}`];
    case "interface":
      return [
        `interface ${name}${typeParametersText(def.typeParams)}${extendsText(def.extends)}`,
        ...memberLines(membersOf(def)),
      ];
    case "class":
      return [
        `class ${name}${typeParametersText(def.typeParams)}${def.extends ? ` extends ${def.extends}` : ""}`,
        ...memberLines(membersOf(def)),
      ];
    case "namespace":
      return [
        `namespace ${name}`,
        ...def.elements.toSorted(byName).map((element: Node) => `  ${element.name}`),
      ];
  }
  throw new RangeError(`A declaration of the unknown kind "${kind}": ${name}`);
}

const placeOf = ({ filename, line, col }: Node): string => `${filename}:${line}:${col}`;

/** Where a declaration, or what another name refers to, stands. */
const originOf = (one: Node): string => placeOf(one.kind === "reference" ? one.def.target : one.location);

/** Declarations as a caller sees them: of overloads the one with the body is not seen. */
const overloads = (declarations: readonly Node[]): readonly Node[] =>
  declarations.length === 1 ? declarations : declarations.filter(({ def }) => def?.hasBody !== true);

/**
 * The text of the API. The first export that has a name describes it; later ones, which give the same thing, only name it.
 *
 * @param name The package.
 * @param exports Subpaths and their files, as in deno.json.
 * @param root The folder in which those files are.
 * @param documented What `deno doc --json` writes of those files.
 * @throws {RangeError} when the JSON is of another version, or has kinds that are not known.
 */
export function apiText(
  name: string,
  exports: Readonly<Record<string, string>>,
  root: URL,
  { version, nodes }: Documented,
): string {
  if (version !== 2) {
    throw new RangeError(`deno doc writes JSON of version ${version}, but 2 is what is read here`);
  }
  const symbols = Object.values(nodes).flatMap((module) => module.symbols);
  const whole = new Map(
    symbols.filter(({ declarations }) => declarations[0].kind !== "reference")
      .map(({ declarations }) => [originOf(declarations[0]), declarations]),
  );
  const described = new Map<string, string>();
  const rooms = Object.entries(exports).map(([path, file]) => {
    const module = nodes[new URL(file, root).href];
    if (module === undefined) throw new RangeError(`deno doc says nothing of ${file}`);
    const lines = module.symbols.toSorted(byName).flatMap((symbol) => {
      const origin = originOf(symbol.declarations[0]);
      const id = `${symbol.name} of ${origin}`;
      const other = described.get(id);
      if (other !== undefined) return [`export ${symbol.name} of ${other}`];
      described.set(id, name + path.slice(1));
      const declarations = whole.get(origin);
      if (declarations === undefined) {
        throw new RangeError(`${symbol.name} refers to ${origin}, which is not public`);
      }
      return overloads(declarations).flatMap((one) => declarationLines(symbol.name, one));
    });
    return [`# ${name}${path.slice(1)}`, "", ...lines, ""];
  });
  return rooms.flat().join("\n");
}
