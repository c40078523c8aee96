/**
 * TypeScript's types and signatures as text, from the JSON of `deno doc`. A kind that is not known here is an error, so that no
 * part of a type is left out in silence.
 */

/** A node of the JSON. Which fields it has follows from its `kind`. */
// deno-lint-ignore no-explicit-any -- the JSON of another program, whose kinds are told apart below
export type Node = any;

/** Types joined, or nothing for none. */
const list = (nodes: readonly Node[] | undefined, between: string): string =>
  (nodes ?? []).map(typeText).join(between);

/** `<T extends U = V>`, or nothing. */
export const typeParametersText = (parameters: readonly Node[] | undefined): string =>
  parameters === undefined || parameters.length === 0
    ? ""
    : `<${parameters.map(typeParameterText).join(", ")}>`;

const typeParameterText = ({ name, constraint, default: fallback }: Node): string =>
  name + (constraint ? ` extends ${typeText(constraint)}` : "") +
  (fallback ? ` = ${typeText(fallback)}` : "");

/** `options?: T`. What a default is, and how an argument is taken apart, are no part of a signature. */
function parameterText(node: Node): string {
  switch (node.kind) {
    case "identifier":
      return `${node.name}${node.optional ? "?" : ""}${typeAfter(node)}`;
    case "object":
      return `options${node.optional ? "?" : ""}${typeAfter(node)}`;
    case "array":
      return `items${node.optional ? "?" : ""}${typeAfter(node)}`;
    case "assign":
      return parameterText({ ...node.left, optional: true });
    case "rest":
      return `...${node.arg.name}${typeAfter(node)}`;
  }
  throw new RangeError(`A parameter of the unknown kind "${node.kind}"`);
}

const typeAfter = ({ tsType }: Node): string => tsType ? `: ${typeText(tsType)}` : "";

/** `(a: A, b?: B)`. */
export const parametersText = (parameters: readonly Node[]): string =>
  `(${parameters.map(parameterText).join(", ")})`;

const keyText = ({ name, computed }: Node): string =>
  !computed && !/^[\w$]+$/.test(name) ? JSON.stringify(name) : name;

const propertyText = (node: Node): string =>
  `${node.readonly ? "readonly " : ""}${keyText(node)}${node.optional ? "?" : ""}${typeAfter(node)}`;

/** A method of an interface, or of a class, which has its signature one level down. */
function methodText(node: Node): string {
  const { params, returnType, typeParams } = node.functionDef ?? node;
  const kind = node.kind === "getter" ? "get " : node.kind === "setter" ? "set " : "";
  const result = returnType ? `: ${typeText(returnType)}` : "";
  return `${kind}${keyText(node)}${node.optional ? "?" : ""}${typeParametersText(typeParams)}${
    parametersText(params)
  }${result}`;
}

/** A member of an interface, a class or a literal type: its name, and its text on one line. */
export interface Member {
  readonly name: string;
  readonly text: string;
}

/** The public members of an interface, a class or a literal type. */
export function membersOf(definition: Node): readonly Member[] {
  const shared = (node: Node, text: string): readonly Member[] =>
    node.accessibility === "private" || node.name?.startsWith("#")
      ? []
      : [{ name: node.name, text: (node.isStatic ? "static " : "") + text }];
  return [
    ...(definition.constructors ?? []).map((node: Node) => ({
      name: "constructor",
      text: `constructor${parametersText(node.params)}`,
    })),
    ...(definition.callSignatures ?? []).map((node: Node) => ({
      name: "()",
      text: `${typeParametersText(node.typeParams)}${parametersText(node.params)}${typeAfter(node)}`,
    })),
    ...(definition.indexSignatures ?? []).map((node: Node) => ({
      name: "[]",
      text: `${node.readonly ? "readonly " : ""}[${node.params.map(parameterText).join(", ")}]${
        typeAfter(node)
      }`,
    })),
    ...(definition.properties ?? []).flatMap((node: Node) => shared(node, propertyText(node))),
    ...(definition.methods ?? []).flatMap((node: Node) => shared(node, methodText(node))),
  ];
}

const literalText = (value: Node): string =>
  value.kind === "string"
    ? JSON.stringify(value.string)
    : value.kind === "template"
    ? templateText(value.tsTypes)
    : value.kind === "bigInt"
    ? `${value.string}n`
    : String(value[value.kind]);

/** A template's parts: its texts, which are literals, stand between its types. */
const templateText = (parts: readonly Node[]): string =>
  `\`${parts.map((part, i) => i % 2 === 0 ? part.value.string : `\${${typeText(part)}}`).join("")}\``;

function mappedText({ readonly, typeParam, nameType, optional, tsType }: Node): string {
  const name = nameType ? ` as ${typeText(nameType)}` : "";
  const sign = (value: Node): string => value === true || value === undefined ? "" : value;
  const before = readonly === undefined ? "" : `${sign(readonly)}readonly `;
  const after = optional === undefined ? "" : `${sign(optional)}?`;
  return `{ ${before}[${typeParam.name} in ${typeText(typeParam.constraint)}${name}]${after}: ${
    typeText(tsType)
  } }`;
}

/** A type. @throws {RangeError} when its kind is not known. */
export function typeText(node: Node): string {
  const { kind, value } = node;
  switch (kind) {
    case "keyword":
      return value;
    case "literal":
      return literalText(value);
    case "typeRef":
      return value.typeName + (value.typeParams ? `<${list(value.typeParams, ", ")}>` : "");
    case "union":
      return list(value, " | ");
    case "intersection":
      return list(value, " & ");
    case "array":
      return `${typeText(value)}[]`;
    case "tuple":
      return `[${list(value, ", ")}]`;
    case "parenthesized":
      return `(${typeText(value)})`;
    case "optional":
      return `${typeText(value)}?`;
    case "rest":
      return `...${typeText(value)}`;
    case "this":
      return "this";
    case "typeQuery":
      return `typeof ${value}`;
    case "typeOperator":
      return `${value.operator} ${typeText(value.tsType)}`;
    case "indexedAccess":
      return `${typeText(value.objType)}[${typeText(value.indexType)}]`;
    case "infer":
      return `infer ${typeParameterText(value.typeParam)}`;
    case "importType":
      return (value.qualifier ?? "import") + (value.typeParams ? `<${list(value.typeParams, ", ")}>` : "");
    case "conditional":
      return `${typeText(value.checkType)} extends ${typeText(value.extendsType)} ? ${
        typeText(value.trueType)
      } : ${typeText(value.falseType)}`;
    case "fnOrConstructor":
      return `${value.constructor === true ? "new " : ""}${typeParametersText(value.typeParams)}${
        parametersText(value.params)
      } => ${typeText(value.tsType)}`;
    case "typeLiteral": {
      const members = membersOf(value).map(({ text }) => text);
      return members.length === 0 ? "{}" : `{ ${members.join("; ")} }`;
    }
    case "mapped":
      return mappedText(value);
    case "typePredicate":
      return `${value.asserts ? "asserts " : ""}${value.param.name ?? "this"}${
        value.type ? ` is ${typeText(value.type)}` : ""
      }`;
  }
  throw new RangeError(`A type of the unknown kind "${kind}": ${JSON.stringify(node).slice(0, 200)}`);
}
