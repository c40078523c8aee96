/** Variables of the environment. */
import process from "node:process";
import { deno } from "./deno.ts";

/** A variable's text; undefined where it is not set or empty, or the program may not read it: nobody is asked. */
export function environmentVariable(name: string): string | undefined {
  const granted = deno === undefined ||
    deno.permissions.querySync({ name: "env", variable: name }).state === "granted";
  return granted ? process.env[name] || undefined : undefined;
}
