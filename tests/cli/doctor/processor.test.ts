import assert from "node:assert/strict";
import { processor, vectorsIn } from "../../../cli/doctor/processor.ts";

Deno.test("vectorsIn() reads the instructions of x64 and arm64 from /proc/cpuinfo", () => {
  assert.deepEqual(vectorsIn("processor\t: 0\nflags\t\t: fpu sse avx avx2 fma avx512f\n"), [
    "avx2",
    "fma",
    "avx512f",
  ]);
  assert.deepEqual(vectorsIn("Features\t: fp asimd asimddp\n"), ["asimd", "asimddp"]);
  assert.deepEqual(vectorsIn(""), []);
  assert.ok(processor().name.length > 0);
});
