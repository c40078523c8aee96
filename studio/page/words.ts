/** Numbers for people. */

/** "1,234,567". */
export const count = (n: number): string => n.toLocaleString("en-US", { maximumFractionDigits: 0 });

/** "2.2 M", "135 M", "1.3 B": a number of parameters. */
export function parameters(n: number): string {
  if (n < 1e4) return count(n);
  const [size, unit] = n < 1e6 ? [n / 1e3, "k"] : n < 1e9 ? [n / 1e6, "M"] : [n / 1e9, "B"];
  return `${size < 10 ? size.toFixed(1) : size.toFixed(0)} ${unit}`;
}

/** "4.33 MB". */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB"];
  const power = n < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  return `${power === 0 ? n : (n / 1000 ** power).toPrecision(3)} ${units[power]}`;
}

/** "2 h 5 min", "3 min 20 s", "4 s". */
export function time(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${s} s` : `${s} s`;
}

/** "1 row", "3 rows". */
export const many = (n: number, one: string, several: string = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : several}`;

/** The first letter large. */
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
