/** What an interrupted run says of how to go on. */
import assert from "node:assert/strict";
import { report } from "../../../cli/finetune/report.ts";
import { hearStreams } from "../../support/standard_streams.ts";
import { inFolder } from "../../support/folder.ts";

Deno.test("an interrupted run advises --overwrite only where it works beside what it will replace", () =>
  inFolder((folder) => {
    const flags = { output: `${folder}/run`, overwrite: true } as Parameters<typeof report>[0];
    const result = {
      outcome: "interrupted",
      steps: 3,
      totalSteps: 9,
      evaluations: [],
    } as unknown as Parameters<
      typeof report
    >[1];
    const said = (): string => {
      let text = "";
      using _ = hearStreams(undefined, (chunk) => text += chunk);
      report(flags, result);
      return text;
    };
    assert.match(said(), /Interrupted after step 3 of 9; to go on, repeat the command with --resume\n/);
    Deno.mkdirSync(`${folder}/run.new`); // where it works, while the earlier result stays
    assert.match(said(), /with --resume --overwrite\n/);
    return Promise.resolve();
  }));
