/** What graft takes of `node:path`, as POSIX has it; the working folder is "/". */

/** A path without "." and needless "..". */
export function normalize(path: string): string {
  const absolute = path.startsWith("/");
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === ".." && names.length > 0 && names.at(-1) !== "..") names.pop();
    else if (name !== ".." || !absolute) names.push(name);
  }
  const plain = names.join("/") || (absolute ? "" : ".");
  return `${absolute ? "/" : ""}${plain}${plain !== "" && path.endsWith("/") ? "/" : ""}`;
}

/** Paths one after another. */
export const join = (...parts: readonly string[]): string =>
  normalize(parts.filter((part) => part !== "").join("/") || ".");

/** An absolute path: the last absolute one of them, and those after it. */
export function resolve(...parts: readonly string[]): string {
  const start = parts.findLastIndex((part) => part.startsWith("/"));
  const path = normalize(`/${parts.slice(Math.max(start, 0)).join("/")}`);
  return path.length > 1 ? path.replace(/\/$/, "") : path;
}

/** The folder around a path. */
export function dirname(path: string): string {
  const plain = path.replace(/(?<=.)\/+$/, "");
  const slash = plain.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : plain.slice(0, slash);
}

/** The last name of a path. */
export function basename(path: string, ending = ""): string {
  const name = path.replace(/\/+$/, "").split("/").at(-1) ?? "";
  return ending !== "" && name !== ending && name.endsWith(ending) ? name.slice(0, -ending.length) : name;
}

/** From the last dot of the last name. */
export const extname = (path: string): string =>
  /(?<=[^/])(?<!(^|\/)\.)\.[^./]*$/.exec(path.replace(/\/+$/, ""))?.[0] ?? "";

/** Whether a path begins at the root. */
export const isAbsolute = (path: string): boolean => path.startsWith("/");

/** The way from a folder to a path: up to what both lie in, then down. */
export function relative(from: string, to: string): string {
  const names = (path: string): readonly string[] => resolve(path).split("/").filter((name) => name !== "");
  const [start, end] = [names(from), names(to)];
  const fork = start.findIndex((name, i) => name !== end[i]);
  const common = fork < 0 ? start.length : fork;
  return [...start.slice(common).map(() => ".."), ...end.slice(common)].join("/");
}

/** The functions under one name, as some import them. */
const all: {
  readonly basename: typeof basename;
  readonly dirname: typeof dirname;
  readonly extname: typeof extname;
  readonly isAbsolute: typeof isAbsolute;
  readonly join: typeof join;
  readonly normalize: typeof normalize;
  readonly relative: typeof relative;
  readonly resolve: typeof resolve;
} = {
  basename,
  dirname,
  extname,
  isAbsolute,
  join,
  normalize,
  relative,
  resolve,
};

export default all;
