/**
 * The Porter stemmer (M. Porter 1980, "An algorithm for suffix stripping", Program 14(3)), in NLTK's default
 * variant, which PyPI `rouge-score` uses. It departs from the paper in: a table of irregular words,
 * `ies`/`ied` of four-letter words, y → i after any consonant, `bli`, `alli` tried again, `fulli`, `logi`,
 * and *o holding for a vowel followed by a consonant.
 *
 * Letters: a word is [C](VC)^m[V]; m is its measure. y is a vowel after a consonant; digits count as consonants.
 */

/** Applies where the word ends in `suffix`; the first such rule decides, even if its condition then fails. */
type Rule = readonly [suffix: string, replacement: string, condition?: (stem: string) => boolean];

const IRREGULAR: ReadonlyMap<string, string> = new Map([
  ["skies", "sky"],
  ["sky", "sky"],
  ["dying", "die"],
  ["lying", "lie"],
  ["tying", "tie"],
  ["news", "news"],
  ["innings", "inning"],
  ["inning", "inning"],
  ["outings", "outing"],
  ["outing", "outing"],
  ["cannings", "canning"],
  ["canning", "canning"],
  ["howe", "howe"],
  ["proceed", "proceed"],
  ["exceed", "exceed"],
  ["succeed", "succeed"],
]);

/** One letter per character: c for consonant, v for vowel. */
function pattern(word: string): string {
  let result = "";
  for (const letter of word) {
    const vowel = "aeiou".includes(letter) || (letter === "y" && result.endsWith("c"));
    result += vowel ? "v" : "c";
  }
  return result;
}

const measure = (stem: string): number => pattern(stem).split("vc").length - 1;
const some = (stem: string): boolean => measure(stem) > 0;
const several = (stem: string): boolean => measure(stem) > 1;

/** The paper's *d. */
const endsDouble = (word: string): boolean =>
  word.length > 1 && word.at(-1) === word.at(-2) && pattern(word).endsWith("c");

/** The paper's *o, and NLTK's addition for two letters. */
function endsShort(word: string): boolean {
  const letters = pattern(word);
  return letters === "vc" || (letters.endsWith("cvc") && !/[wxy]$/.test(word));
}

function applyFirst(word: string, rules: readonly Rule[]): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix));
  if (rule === undefined) return word;
  const [suffix, replacement, condition] = rule;
  const stem = word.slice(0, word.length - suffix.length);
  return condition === undefined || condition(stem) ? stem + replacement : word;
}

const PLURALS: readonly Rule[] = [["sses", "ss"], ["ies", "i"], ["ss", "ss"], ["s", ""]];

const DERIVED: readonly Rule[] = [
  ["ational", "ate", some],
  ["tional", "tion", some],
  ["enci", "ence", some],
  ["anci", "ance", some],
  ["izer", "ize", some],
  ["bli", "ble", some],
  ["alli", "al", some],
  ["entli", "ent", some],
  ["eli", "e", some],
  ["ousli", "ous", some],
  ["ization", "ize", some],
  ["ation", "ate", some],
  ["ator", "ate", some],
  ["alism", "al", some],
  ["iveness", "ive", some],
  ["fulness", "ful", some],
  ["ousness", "ous", some],
  ["aliti", "al", some],
  ["iviti", "ive", some],
  ["biliti", "ble", some],
  ["fulli", "ful", some],
  // The measure includes the l, so that "geologi" becomes "geolog" but "logi" stays.
  ["logi", "log", (stem) => some(stem + "l")],
];

const ADJECTIVES: readonly Rule[] = [
  ["icate", "ic", some],
  ["ative", "", some],
  ["alize", "al", some],
  ["iciti", "ic", some],
  ["ical", "ic", some],
  ["ful", "", some],
  ["ness", "", some],
];

const ENDINGS: readonly Rule[] = [
  ...["al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"].map((suffix): Rule => [
    suffix,
    "",
    several,
  ]),
  ["ion", "", (stem) => several(stem) && /[st]$/.test(stem)],
  ...["ou", "ism", "ate", "iti", "ous", "ive", "ize"].map((suffix): Rule => [suffix, "", several]),
];

/** Step 1b: -eed, -ed, -ing. */
function withoutTense(word: string): string {
  if (word.endsWith("ied")) return word.slice(0, word.length === 4 ? -1 : -2);
  if (word.endsWith("eed")) return some(word.slice(0, -3)) ? word.slice(0, -1) : word;
  const stem = word.endsWith("ed") ? word.slice(0, -2) : word.endsWith("ing") ? word.slice(0, -3) : "";
  if (!pattern(stem).includes("v")) return word;
  if (/(at|bl|iz)$/.test(stem)) return stem + "e";
  if (endsDouble(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1);
  return measure(stem) === 1 && endsShort(stem) ? stem + "e" : stem;
}

/** Step 2; "-ationalli" passes through twice. */
function withoutDerivation(word: string): string {
  const stem = word.slice(0, -4);
  if (word.endsWith("alli") && some(stem)) return withoutDerivation(stem + "al");
  return applyFirst(word, DERIVED);
}

/** Step 5a: a final e. */
function withoutFinalE(word: string): string {
  if (!word.endsWith("e")) return word;
  const stem = word.slice(0, -1);
  return several(stem) || (measure(stem) === 1 && !endsShort(stem)) ? stem : word;
}

/**
 * The stem of a lower-case word.
 *
 * @example
 * ```ts
 * import { porterStem } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * assert.equal(porterStem("relational"), "relat");
 * ```
 */
export function porterStem(word: string): string {
  const irregular = IRREGULAR.get(word);
  if (irregular !== undefined) return irregular;
  if (word.length < 3) return word;
  let stem = word.endsWith("ies") && word.length === 4 ? word.slice(0, -1) : applyFirst(word, PLURALS);
  stem = withoutTense(stem);
  stem = applyFirst(stem, [["y", "i", (rest) => rest.length > 1 && pattern(rest).endsWith("c")]]);
  stem = withoutDerivation(stem);
  stem = applyFirst(applyFirst(stem, ADJECTIVES), ENDINGS);
  stem = withoutFinalE(stem);
  return stem.endsWith("ll") && several(stem.slice(0, -1)) ? stem.slice(0, -1) : stem;
}
