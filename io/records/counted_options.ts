/** Options of methods that count something, so that a record's have bounds (`MOST` of core). */
import { checkCounts, type CountedFields } from "../../core/mod.ts";
import { plainName } from "../../core/options/mod.ts";
import { isObject } from "../../formats/strict_json.ts";

const COUNTS: CountedFields = {
  rank: "rank",
  rankPattern: "rank",
  targetRank: "rank",
  hybridRank: "rank",
  miniRank: "rank",
  preserved: "rank",
  terms: "terms",
  iterations: "terms",
  search: "terms",
  depth: "depth",
  factors: "depth",
  "encoder.layers": "depth",
  "madeBy.layers": "depth",
  layers: "blocks",
  stride: "blocks",
  groups: "blocks",
  first: "prompt",
  last: "prompt",
  length: "prompt",
  lengths: "positions",
  tokens: "vocabulary",
  rows: "vocabulary",
  token: "vocabulary",
  types: "vocabulary",
  experts: "parts",
  skills: "parts",
  topK: "parts",
  pieces: "width",
  vectors: "vocabulary",
  dimension: "entries",
  "phm.dimension": "factors",
  frequencies: "entries",
  frequencyPattern: "entries",
  hidden: "width",
  inner: "width",
  intrinsic: "width",
  size: "width",
  count: "width",
  group: "width",
  block: "width",
  blockPattern: "width",
  blocks: "width",
  firstFactor: "width",
  factor: "width",
};

/** LoKr has no bound on its rank: any value above a layer's sizes requests full factors. */
const { rank: _, rankPattern: __, ...LOKR } = COUNTS;

/** Of a method: a few options mean something else in some. */
function countsOf(method: unknown): CountedFields {
  switch (typeof method === "string" ? plainName(method) : method) {
    case "phmadapter":
    case "compacter":
      return { ...COUNTS, dimension: "factors" };
    case "vera":
    case "pvera":
    case "randlora":
    case "unilora":
      return { ...COUNTS, rank: "drawnRank" };
    case "lokr":
      return LOKR;
    default:
      return COUNTS;
  }
}

/**
 * Checks the options of a method's record, and of the records in it.
 *
 * @throws {RangeError} when one is above its bound; the message names file, option and bound.
 */
export function checkRecordCounts(where: string, record: unknown): void {
  if (!isObject(record)) return;
  const { method, config, parts } = record;
  checkCounts(where, config, countsOf(method));
  for (const inner of isObject(parts) ? Object.values(parts) : []) checkRecordCounts(where, inner);
}
