/**
 * ROUGE (Lin 2004, "ROUGE: a package for automatic evaluation of summaries", W04-1013): overlap of a candidate text with
 * a reference.
 *
 *     precision = hits / units of the candidate     recall = hits / units of the reference     f1 = 2 p r / (p + r)
 *
 * ROUGE-n: units are n-grams, hits the sum of min(counts). ROUGE-L: units are tokens, hits the length of the
 * longest common subsequence. ROUGE-Lsum: for each reference sentence (a line) the union of its longest
 * common subsequences with every candidate sentence, with no token counted more often than it occurs. Equal
 * to PyPI `rouge-score` 0.1.2, including its tokenization: runs of a-z and 0-9 after lower-casing. Scripts
 * without such letters give no tokens and score 0.
 */
import { rangeError } from "../errors/error.ts";

/** Three values from 0 to 1. */
export interface RougeScore {
  /** Matches divided by the units of the candidate. */
  readonly precision: number;
  /** Matches divided by the units of the reference. */
  readonly recall: number;
  /** Harmonic mean of the two. */
  readonly f1: number;
}

/** The four variants in use. */
export interface RougeScores {
  /** Words. */
  readonly rouge1: RougeScore;
  /** Pairs of words. */
  readonly rouge2: RougeScore;
  /** Longest common subsequence. */
  readonly rougeL: RougeScore;
  /** The same, line by line. */
  readonly rougeLsum: RougeScore;
}

/** How texts become tokens. */
export interface RougeOptions {
  /** Applied to tokens of more than three characters, for example `porterStem`. Default: none. */
  readonly stemmer?: (word: string) => string;
}

type Tokens = readonly string[];

/**
 * Scores of a candidate text against a reference text.
 *
 * @example
 * ```ts
 * import { rouge } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const { rouge1, rougeL } = rouge("the cat sat", "the cat");
 * assert.deepEqual(rouge1, { precision: 1, recall: 2 / 3, f1: 0.8 });
 * assert.deepEqual(rougeL, rouge1);
 * ```
 */
export function rouge(reference: string, candidate: string, options: RougeOptions = {}): RougeScores {
  const a = tokenize(reference, options);
  const b = tokenize(candidate, options);
  const sentences = (text: string): Tokens[] => text.split("\n").map((line) => tokenize(line, options));
  return {
    rouge1: ngramScore(a, b, 1),
    rouge2: ngramScore(a, b, 2),
    rougeL: score(lcsLength(a, b), a.length, b.length),
    rougeLsum: summaryScore(sentences(reference), sentences(candidate)),
  };
}

/**
 * The mean of every number over pairs, the usual score of a data set (the mean of f1, not the f1 of means).
 *
 * @throws {RangeError} when there are no pairs.
 * @example
 * ```ts
 * import { meanRouge, rouge } from "@graft/peft/train";
 * import assert from "node:assert/strict";
 * const scores = [rouge("the cat sat", "the cat sat"), rouge("the cat sat", "a dog")];
 * assert.equal(meanRouge(scores).rouge1.f1, 0.5);
 * ```
 */
export function meanRouge(scores: readonly RougeScores[]): RougeScores {
  if (scores.length === 0) {
    throw rangeError("INVALID_ARGUMENT", "Cannot average ROUGE scores: there are none");
  }
  const mean = (of: (each: RougeScores) => RougeScore): RougeScore => {
    const average = (part: keyof RougeScore) =>
      scores.reduce((sum, each) => sum + of(each)[part], 0) / scores.length;
    return { precision: average("precision"), recall: average("recall"), f1: average("f1") };
  };
  return {
    rouge1: mean((each) => each.rouge1),
    rouge2: mean((each) => each.rouge2),
    rougeL: mean((each) => each.rougeL),
    rougeLsum: mean((each) => each.rougeLsum),
  };
}

function tokenize(text: string, { stemmer }: RougeOptions): Tokens {
  const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  if (stemmer === undefined) return words;
  return words.map((word) => (word.length > 3 ? stemmer(word) : word)).filter((word) => word !== "");
}

function score(hits: number, ofReference: number, ofCandidate: number): RougeScore {
  const precision = hits / Math.max(ofCandidate, 1);
  const recall = hits / Math.max(ofReference, 1);
  const f1 = hits === 0 ? 0 : (2 * precision * recall) / (precision + recall);
  return { precision, recall, f1 };
}

function counts(units: Iterable<string>): Map<string, number> {
  const result = new Map<string, number>();
  for (const unit of units) result.set(unit, (result.get(unit) ?? 0) + 1);
  return result;
}

function ngramScore(reference: Tokens, candidate: Tokens, n: number): RougeScore {
  // A space cannot occur inside a token, so joined n-grams are equal only if their tokens are.
  const ngrams = (tokens: Tokens): readonly string[] =>
    Array.from({ length: Math.max(0, tokens.length - n + 1) }, (_, i) => tokens.slice(i, i + n).join(" "));
  const [a, b] = [ngrams(reference), ngrams(candidate)];
  const ofCandidate = counts(b);
  let hits = 0;
  for (const [unit, count] of counts(a)) hits += Math.min(count, ofCandidate.get(unit) ?? 0);
  return score(hits, a.length, b.length);
}

/** Two rows of the table are enough for the length alone. */
function lcsLength(a: Tokens, b: Tokens): number {
  let above = new Uint32Array(b.length + 1);
  for (const token of a) {
    const row = new Uint32Array(b.length + 1);
    for (let j = 0; j < b.length; j++) {
      row[j + 1] = token === b[j] ? above[j]! + 1 : Math.max(above[j + 1]!, row[j]!);
    }
    above = row;
  }
  return above[b.length]!;
}

/**
 * Positions in `a` of one longest common subsequence: among equally long ones, the one that rouge-score
 * selects.
 */
function lcsPositions(a: Tokens, b: Tokens): readonly number[] {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const at = i * width + j;
      table[at] = a[i - 1] === b[j - 1]
        ? table[at - width - 1]! + 1
        : Math.max(table[at - width]!, table[at - 1]!);
    }
  }
  const positions: number[] = [];
  for (let i = a.length, j = b.length; i > 0 && j > 0;) {
    if (a[i - 1] === b[j - 1]) {
      positions.push(i - 1);
      i--;
      j--;
    } else if (table[i * width + j - 1]! > table[(i - 1) * width + j]!) j--;
    else i--;
  }
  return positions;
}

function summaryScore(reference: readonly Tokens[], candidate: readonly Tokens[]): RougeScore {
  const leftOfReference = counts(reference.flat());
  const leftOfCandidate = counts(candidate.flat());
  let hits = 0;
  for (const sentence of reference) {
    const union = new Set(candidate.flatMap((other) => lcsPositions(sentence, other)));
    for (const position of union) {
      const token = sentence[position]!;
      const [a, b] = [leftOfReference.get(token)!, leftOfCandidate.get(token)!];
      if (a === 0 || b === 0) continue;
      leftOfReference.set(token, a - 1);
      leftOfCandidate.set(token, b - 1);
      hits++;
    }
  }
  return score(hits, reference.flat().length, candidate.flat().length);
}
