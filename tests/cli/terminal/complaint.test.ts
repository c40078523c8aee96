/** What commands say of errors. */
import assert from "node:assert/strict";
import { complaint } from "../../../cli/terminal/complaint.ts";
import { main } from "../../../cli/main.ts";
import { rangeError } from "../../../errors/error.ts";
import { hearStreams } from "../../support/standard_streams.ts";

const error = rangeError("DATA_INVALID", "Expected one line\nbut found two");

Deno.test("an error is a line for people, and one of JSON with its code for who asks by --json", () => {
  assert.deepEqual(complaint(error, ["data", "x"]), ["graft: Expected one line; but found two"]);
  const said = complaint(error, ["data", "x", "--json"]);
  assert.deepEqual(said.map((line) => JSON.parse(line)), [
    { error: { code: "DATA_INVALID", message: "Expected one line; but found two" } },
  ]);
  const ofSystem = Object.assign(new Error("EACCES: permission denied, stat 'x'"), { code: "EACCES" });
  assert.equal(JSON.parse(complaint(ofSystem, ["--json"])[0]!).error.code, "EACCES");
  assert.equal(JSON.parse(complaint("thrown", ["--json"])[0]!).error.code, null);
  assert.match(complaint(error, ["generate", "--", "--json"])[0]!, /^graft: /); // a text, not an option
});

Deno.test("--debug adds code and stack", () => {
  const [first, second] = complaint(error, ["--debug"]);
  assert.match(first!, /^graft: Expected/);
  assert.match(second!, /^DATA_INVALID: RangeError: Expected one line/);
});

Deno.test("commands with --json say their errors as JSON on standard error alone, wrong arguments too", async () => {
  for (
    const [command, code, exit] of [["inspect no-such-folder --json", "FILE_NOT_FOUND", 1], [
      "inspect --json --bogus x",
      "USAGE",
      2,
    ]] as const
  ) {
    let [out, err] = ["", ""];
    using _ = hearStreams((piece) => out += piece, (piece) => err += piece);
    assert.equal(await main(command.split(" ")), exit);
    assert.equal(out, "");
    assert.equal(JSON.parse(err).error.code, code);
  }
});
