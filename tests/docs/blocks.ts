/** Code blocks and code spans of Markdown files. */

/** A fenced block. */
export interface Block {
  /** The file, from the project's root. */
  readonly file: string;
  /** Where its first line of code stands, from 1. */
  readonly line: number;
  /** The first word after the fence: "ts", "sh". */
  readonly language: string;
  /** What else stands there. */
  readonly attributes: string;
  readonly text: string;
}

/** The blocks of a Markdown text. @throws {SyntaxError} when a fence is not closed. */
export function blocksOf(file: string, markdown: string): readonly Block[] {
  const blocks: Block[] = [];
  const lines = markdown.split("\n");
  for (let n = 0; n < lines.length; n++) {
    const fence = /^(\s*)(`{3,}|~{3,})\s*(\S*)\s*(.*)$/.exec(lines[n]!);
    if (fence === null) continue;
    const [, indent = "", mark = "", language = "", attributes = ""] = fence;
    const end = lines.findIndex((line, i) => i > n && line.trim() === mark);
    if (end < 0) throw new SyntaxError(`${file}:${n + 1}: the block is never closed`);
    const text = lines.slice(n + 1, end).map((line) =>
      line.startsWith(indent) ? line.slice(indent.length) : line
    );
    blocks.push({ file, line: n + 2, language, attributes, text: `${text.join("\n")}\n` });
    n = end;
  }
  return blocks;
}

/** Code between single backticks, outside of blocks, with its line. */
export function spansOf(markdown: string): readonly (readonly [line: number, text: string])[] {
  const spans: (readonly [number, string])[] = [];
  let fence: string | undefined;
  for (const [i, line] of markdown.split("\n").entries()) {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (mark !== undefined && (fence === undefined || line.trim() === fence)) {
      fence = fence === undefined ? mark : undefined;
    } else if (fence === undefined) {
      for (const [, text = ""] of line.matchAll(/`([^`]+)`/g)) spans.push([i + 1, text]);
    }
  }
  return spans;
}

/**
 * Lines that continue the one before: of paragraphs, items and quotations that are not one line each. Tables, headings and blocks
 * are lines of their own.
 */
export function continuedLines(markdown: string): readonly number[] {
  const found: number[] = [];
  let fence: string | undefined;
  let open = false;
  for (const [i, line] of markdown.split("\n").entries()) {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    const edge = mark !== undefined && (fence === undefined || line.trim() === fence);
    if (edge) fence = fence === undefined ? mark : undefined;
    const apart = edge || fence !== undefined || /^\s*(#{1,6} |\||<|>|$)/.test(line);
    if (open && !apart && !/^\s*([-*+]|\d+\.) /.test(line)) found.push(i + 1);
    open = !apart;
  }
  return found;
}

/** Targets of links to other files of the project, with their line: `[text](path#anchor)`. */
export function linksOf(markdown: string): readonly (readonly [line: number, target: string])[] {
  return markdown.split("\n").flatMap((line, i) =>
    [...line.matchAll(/\]\(([^()\s]+)\)/g)].map((match) => [i + 1, match[1]!] as const)
  ).filter(([, target]) => !/^[a-z]+:/.test(target));
}

/** The anchors that a page's headings make, as code hosts write them. */
export function anchorsOf(markdown: string): readonly string[] {
  return markdown.split("\n").filter((line) => /^#{1,6} /.test(line)).map((line) =>
    line.replace(/^#+ /, "").trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-")
  );
}
