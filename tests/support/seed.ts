/**
 * Loaded before every test file: property tests draw from one seed, so a run can be repeated. GRAFT_SEED=random explores,
 * GRAFT_SEED=n repeats; a failure prints its own seed and path. What is printed has 80 columns, whatever the shell's `COLUMNS`.
 */
import fc from "fast-check";

const wanted = Deno.env.get("GRAFT_SEED") ?? "20261124";
if (wanted !== "random") fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(wanted) });

Deno.env.delete("COLUMNS");
