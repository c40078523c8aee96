/** All desks. */
import type { Desk } from "../intent.ts";
import { bank } from "./bank.ts";
import { delivery } from "./delivery.ts";
import { health } from "./health.ts";
import { insurance } from "./insurance.ts";
import { leisure } from "./leisure.ts";
import { shop } from "./shop.ts";
import { software } from "./software.ts";
import { telecom } from "./telecom.ts";
import { travel } from "./travel.ts";
import { utilities } from "./utilities.ts";

/** Every kind of company that the generator knows. */
export const DESKS: readonly Desk[] = [
  shop,
  delivery,
  telecom,
  travel,
  bank,
  insurance,
  software,
  utilities,
  health,
  leisure,
];
