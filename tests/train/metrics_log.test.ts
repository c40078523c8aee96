import assert from "node:assert/strict";
import fc from "fast-check";
import { createMetricsLog, type MetricsEntry, resumeMetricsLog } from "../../train/metrics_log.ts";

function inFolder<T>(f: (file: string) => T): T {
  const folder = Deno.makeTempDirSync();
  try {
    return f(`${folder}/metrics.jsonl`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

const entriesFor = (steps: number): readonly MetricsEntry[] =>
  Array.from({ length: steps }, (_, i) => [
    { step: i + 1, loss: 1 / (i + 1) },
    ...(i % 3 === 2 ? [{ step: i + 1, evaluation: "é", perplexity: i }] : []),
  ]).flat();

Deno.test("createMetricsLog() writes a line an entry at once and refuses an existing file", () => {
  inFolder((file) => {
    using log = createMetricsLog(file);
    log.append({ step: 0, loss: NaN, note: "a\nb" });
    assert.equal(Deno.readTextFileSync(file), '{"step":0,"loss":"NaN","note":"a\\nb"}\n');
    log.append({ step: 2, loss: -Infinity, last: true });
    assert.equal(Deno.readTextFileSync(file).split("\n")[1], '{"step":2,"loss":"-Infinity","last":true}');
    assert.throws(() => log.append({ step: 1 }), /Cannot log step 1 to .*: expected an integer from 2/);
    assert.throws(() => createMetricsLog(file), { code: "EEXIST" });
  });
});

Deno.test("resumeMetricsLog() makes the file of a run that was killed at any byte that of one that was not", () => {
  const entries = entriesFor(12);
  const whole = inFolder((file) => {
    using log = createMetricsLog(file);
    entries.forEach((entry) => log.append(entry));
    return Deno.readFileSync(file);
  });
  fc.assert(
    fc.property(fc.nat(whole.length), fc.nat(12), (killedAt, checkpoint) => {
      // A checkpoint exists only of steps whose lines are complete.
      const complete = new TextDecoder().decode(whole.subarray(0, killedAt)).split("\n").slice(0, -1);
      const logged = Math.max(0, ...complete.map((line) => JSON.parse(line).step - 1));
      const step = Math.min(checkpoint, logged);
      inFolder((file) => {
        Deno.writeFileSync(file, whole.subarray(0, killedAt));
        using log = resumeMetricsLog(file, step);
        assert.ok(
          Deno.readTextFileSync(file).split("\n").slice(0, -1).every((line) => JSON.parse(line).step <= step),
        );
        entries.filter((entry) => entry.step > step).forEach((entry) => log.append(entry));
        assert.deepEqual(Deno.readFileSync(file), whole);
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("resumeMetricsLog() refuses a file that another run writes, and takes it when that is over", () => {
  if (Deno.build.os === "windows") return; // there a lock would keep readers away
  for (const open of [createMetricsLog, (file: string) => resumeMetricsLog(file, 0)]) {
    inFolder((file) => {
      {
        using log = open(file);
        log.append({ step: 1 });
        assert.throws(() => resumeMetricsLog(file, 1), { code: "EBUSY" });
        assert.throws(() => createMetricsLog(file), /Cannot start .*: it exists/);
        log.append({ step: 2 });
      }
      using log = resumeMetricsLog(file, 2);
      log.append({ step: 3 });
      assert.equal(Deno.readTextFileSync(file), '{"step":1}\n{"step":2}\n{"step":3}\n');
    });
  }
});

Deno.test("resumeMetricsLog() creates a missing file and leaves a foreign one alone", () => {
  inFolder((file) => {
    {
      using log = resumeMetricsLog(file, 5);
      assert.throws(() => log.append({ step: 4 }), /expected an integer from 5/);
      log.append({ step: 6 });
    }
    assert.equal(Deno.readTextFileSync(file), '{"step":6}\n');
    for (
      const [foreign, message] of [['{"step":1}\nhello\n', /line 2: it is not JSON/], [
        '{"a":1}\n',
        /line 1: it has no number "step"/,
      ]] as const
    ) {
      Deno.writeTextFileSync(file, foreign);
      assert.throws(() => resumeMetricsLog(file, 1), message);
      assert.equal(Deno.readTextFileSync(file), foreign);
    }
  });
});
