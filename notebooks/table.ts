/** Tables: HTML whose headings sort it, and aligned text where HTML is not shown. */
import { table as aligned } from "../cli/terminal/output.ts";
import { escaped, type Shown, shown } from "./shown.ts";

/** A column of a table over rows of type T. */
export interface Column<T> {
  readonly title: string;
  /** What is shown. */
  text(row: T): string;
  /** What the column sorts by; default what is shown. */
  value?(row: T): number;
}

/** Sorts the table around the heading that was clicked: falling first, then rising. Numbers stand in `data-value`. */
const SORT = [
  "const h=this,b=h.closest('table').querySelector('tbody'),i=[...h.parentNode.children].indexOf(h)",
  "const up=h.dataset.up=h.dataset.up==='0'?'1':'0',v=r=>r.children[i].dataset.value??r.children[i].textContent",
  "const n=x=>Number.isNaN(+x)?x:+x,s=up==='1'?-1:1",
  "[...b.children].sort((p,q)=>{const[x,y]=[n(v(p)),n(v(q))];return x<y?s:x>y?-s:0}).forEach(r=>b.append(r))",
].join(";");

/** Rows in columns; the first column is a name, the others stand to the right. A click on a heading sorts. */
export function sortable<T>(rows: readonly T[], columns: readonly Column<T>[]): Shown {
  const side = (i: number): string => `text-align:${i === 0 ? "left" : "right"}`;
  const head = columns.map(({ title }, i) =>
    `<th style="cursor:pointer;${side(i)}" title="sort" onclick="${escaped(SORT)}">${escaped(title)}</th>`
  );
  const body = rows.map((row) => {
    const cells = columns.map((column, i) => {
      const value = column.value?.(row);
      return `<td style="${side(i)}"${value === undefined ? "" : ` data-value="${value}"`}>${
        escaped(column.text(row))
      }</td>`;
    });
    return `<tr>${cells.join("")}</tr>`;
  });
  const texts = [columns.map(({ title }) => title), ...rows.map((row) => columns.map((c) => c.text(row)))];
  return shown({
    "text/html": `<table><thead><tr>${head.join("")}</tr></thead><tbody>${body.join("")}</tbody></table>`,
    "text/plain": aligned(texts),
  });
}
