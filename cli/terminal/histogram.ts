/** Counts of lengths as bars of text. */

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of a share from 0 to 1 of the width. */
export function barOf(share: number, width: number): string {
  const eighths = Math.round(share * width * 8);
  return "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7];
}

/**
 * At most `most` bins of equal width from 0 on, one per line: from, to, bar, count. The width of a bin is 1, 2 or 5 times a
 * power of ten.
 */
export function histogram(lengths: readonly number[], most = 12, width = 40): string {
  const top = lengths.reduce((most, length) => Math.max(most, length), 0); // too many for arguments
  const step = binWidth((top + 1) / most);
  const bins = new Array<number>(Math.floor(top / step) + 1).fill(0);
  for (const length of lengths) bins[Math.floor(length / step)]!++;
  const highest = Math.max(...bins);
  const digits = String(bins.length * step - 1).length;
  const first = bins.findIndex((count) => count > 0);
  return bins.slice(first).map((count, i) => {
    const from = (first + i) * step;
    const label = `${String(from).padStart(digits)} – ${String(from + step - 1).padStart(digits)}`;
    return `${label}  ${barOf(count / highest, width)}${count > 0 ? " " : ""}${count}`;
  }).join("\n");
}

function binWidth(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, wanted)));
  return Math.max(1, [1, 2, 5, 10].map((m) => m * power).find((step) => step >= wanted)!);
}

/** The value below which a share of the sorted values lies: the nearest rank. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}
