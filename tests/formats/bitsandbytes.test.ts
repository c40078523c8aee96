import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { layout } from "../../tensor/mod.ts";
import { bitsandbytesView } from "../../formats/bitsandbytes.ts";
import { dynamicMap, FP4_MAP, NF4_MAP } from "../../formats/bitsandbytes_maps.ts";
import { bitsandbytesConfig, bitsandbytesGroup } from "../../formats/bitsandbytes_write.ts";
import { bytesSource } from "../../formats/byte_source.ts";
import { openSafetensors } from "../../formats/safetensors.ts";
import type { RawTensor } from "../../formats/safetensors.ts";
import { encodeSafetensors } from "../../formats/safetensors_write.ts";
import type { StoredTensor } from "../../formats/tensor_file.ts";
import { f32, fromBase64, GOLDEN, golden } from "./golden.ts";

const KINDS = ["nf4", "nf4_double", "fp4", "fp4_double", "int8"] as const;
const path = (kind: string) => `${GOLDEN}bnb_${kind}/model.safetensors`;
const Q = "model.layers.0.self_attn.q_proj.weight";

/** The first values, from the formulas in tensor/dtype.ts: w = codebook[code] · absmax, or code · absmax / 127. */
function firstValues(t: StoredTensor, n: number): number[] {
  const bytes = t.read();
  const at = layout(t.dtype, t.shape);
  const view = new DataView(bytes.buffer);
  const f = Math.fround;
  return Array.from({ length: n }, (_, i) => {
    if (t.dtype === "int8") return f(f(view.getInt8(i) * view.getFloat32(at.scales, true)) / 127);
    const code = i % 2 === 0 ? bytes[i >> 1]! >> 4 : bytes[i >> 1]! & 15;
    const absmax = t.dtype.endsWith("double")
      ? f(
        f(dynamicMap()[bytes[at.scales]!]! * view.getFloat32(at.nested, true)) +
          view.getFloat32(at.offset, true),
      )
      : view.getFloat32(at.scales, true);
    return f((t.dtype.startsWith("nf4") ? NF4_MAP : FP4_MAP)[code]! * absmax);
  });
}

Deno.test("dynamicMap() equals bitsandbytes' create_dynamic_map bit for bit", () => {
  assert.deepEqual(new Float32Array(dynamicMap()), f32(fromBase64(golden("bitsandbytes.json").dynamicMap)));
});

for (const kind of KINDS) {
  Deno.test(`bitsandbytesView() joins the ${kind} groups that transformers saved`, () => {
    const expected = golden("bitsandbytes.json").kinds[kind];
    const file = openSafetensors(path(kind));
    const view = bitsandbytesView(file);
    const quantized = [...view.tensors.values()].filter((t) => t.dtype === kind);
    assert.deepEqual(quantized.map((t) => t.name).sort(), Object.keys(expected).sort());
    assert.equal(quantized.length, 7);
    assert.equal(view.tensors.size, 12);
    for (const t of quantized) {
      const { shape, sha256, first } = expected[t.name];
      assert.deepEqual(t.shape, shape);
      const bytes = t.read();
      assert.equal(bytes.length, t.byteLength);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, t.name);
      // 1e-3 relative: bitsandbytes gives back float16.
      for (const [i, value] of firstValues(t, first.length).entries()) {
        assert.ok(
          Math.abs(value - first[i]) <= 1e-3 * Math.abs(first[i]) + 1e-7,
          `${t.name} ${i}: ${value} ${first[i]}`,
        );
      }
    }
    view.close();
  });

  Deno.test(`bitsandbytesGroup() gives back the very tensors of the ${kind} file`, () => {
    const file = openSafetensors(path(kind));
    for (const t of bitsandbytesView(file).tensors.values()) {
      if (t.dtype !== kind) continue;
      for (const piece of bitsandbytesGroup(t)) {
        const raw = file.raw.get(piece.name)!;
        assert.deepEqual({ type: piece.type, shape: piece.name.includes("quant_state") ? 0 : piece.shape }, {
          type: raw.type,
          shape: piece.name.includes("quant_state") ? 0 : raw.shape,
        }, piece.name);
        if (!piece.name.includes("quant_state")) assert.deepEqual(piece.read(), raw.read(), piece.name);
        else {
          const parse = (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes));
          assert.deepEqual(parse(piece.read()), parse(raw.read()));
        }
      }
      const stem = t.name.slice(0, -"weight".length);
      const group = [...file.raw.keys()].filter((name) => name.startsWith(stem));
      assert.deepEqual(bitsandbytesGroup(t).map((piece) => piece.name).sort(), group.sort());
    }
    file.close();
  });

  Deno.test(`bitsandbytesConfig() of ${kind} says what transformers says`, () => {
    const theirs = golden(`bnb_${kind}/config.json`).quantization_config;
    for (const [key, value] of Object.entries(bitsandbytesConfig(kind))) {
      assert.deepEqual(value, theirs[key], key);
    }
  });
}

/** The golden file with one group changed. */
async function changed(kind: string, change: (name: string, raw: RawTensor) => RawTensor | undefined) {
  const file = openSafetensors(path(kind));
  const bytes = await encodeSafetensors([...file.raw].flatMap(([name, raw]) => change(name, raw) ?? []));
  file.close();
  return () => bitsandbytesView(openSafetensors(bytesSource("changed", bytes)));
}

const without = (kind: string, gone: string) => changed(kind, (name, raw) => name === gone ? undefined : raw);

const patched = (kind: string, target: string, patch: (bytes: Uint8Array) => Uint8Array) =>
  changed(kind, (name, raw) => {
    if (name !== target) return raw;
    const bytes = patch(raw.read());
    return {
      ...raw,
      shape: raw.type === "U8" ? [bytes.length] : raw.shape,
      byteLength: bytes.length,
      read: () => bytes,
    };
  });

const state = (kind: string, change: object) =>
  patched(kind, `${Q}.quant_state.bitsandbytes__${kind.slice(0, 3)}`, (bytes) => {
    const json = { ...JSON.parse(new TextDecoder().decode(bytes)), ...change };
    return new TextEncoder().encode(JSON.stringify(json));
  });

Deno.test("bitsandbytesView() names what is missing or not standard", async () => {
  const cases: [() => unknown, RegExp][] = [
    [await without("nf4", Q), /RangeError.*group has no "model.*q_proj.weight"/],
    [await without("nf4", `${Q}.absmax`), /RangeError.*has no ".*absmax"/],
    [await without("nf4", `${Q}.quant_map`), /RangeError.*has no ".*quant_map"/],
    [
      await without("nf4", `${Q}.quant_state.bitsandbytes__nf4`),
      /RangeError.*q_proj.weight.quant_map".*rest of its/,
    ],
    [await without("nf4_double", `${Q}.nested_absmax`), /RangeError.*has no ".*nested_absmax"/],
    [await without("nf4_double", `${Q}.nested_quant_map`), /RangeError.*has no ".*nested_quant_map"/],
    [await without("int8", Q), /RangeError.*SCB".*expected ".*q_proj.weight" to be an I8 matrix/],
    [await without("int8", Q.replace("weight", "SCB")), /RangeError.*weight_format".*rest of its/],
    [await state("nf4", { blocksize: 128 }), /RangeError.*expected blocksize 64 but found 128/],
    [
      await state("fp4_double", { nested_blocksize: 128 }),
      /RangeError.*expected nested_blocksize 256.*found 128/,
    ],
    [await state("fp4_double", { nested_offset: null }), /RangeError.*nested_offset/],
    [
      await state("nf4", { shape: [40, 41] }),
      /RangeError.*expected ".*q_proj.weight" to have 820 bytes but found 800/,
    ],
    [await state("nf4", { shape: null }), /SyntaxError.*shape null/],
    [
      await patched("nf4", `${Q}.quant_state.bitsandbytes__nf4`, () => new Uint8Array([1])),
      /SyntaxError.*quantization state/,
    ],
    [
      await patched("nf4", `${Q}.quant_map`, (b) =>
        new Uint8Array(
          f32(b).map((v, i) => i === 3 ? 0.4 : v).buffer,
        )),
      /RangeError.*not the standard table; entry 3 is 0.4/,
    ],
    [
      await patched(
        "nf4_double",
        `${Q}.nested_quant_map`,
        (b) => new Uint8Array(f32(b).map(() => NaN).buffer),
      ),
      /RangeError.*not the standard table/,
    ],
    [
      await patched("int8", Q.replace("weight", "weight_format"), () => new Uint8Array([2])),
      /RangeError.*weight_format 0/,
    ],
  ];
  for (const [open, message] of cases) assert.throws(open, message);
});

Deno.test("bitsandbytesGroup() refuses other dtypes", () => {
  const t: StoredTensor = {
    name: "a.weight",
    dtype: "q8_0",
    shape: [1, 32],
    byteLength: 34,
    read: () => new Uint8Array(34),
  };
  assert.throws(() => bitsandbytesGroup(t), /TypeError.*"a.weight".*no q8_0/);
  assert.throws(() => bitsandbytesGroup({ ...t, name: "a", dtype: "int8" }), /RangeError.*".weight"/);
  assert.throws(
    () => bitsandbytesGroup({ ...t, dtype: "int8" }),
    /RangeError.*expected 36 bytes but found 34/,
  );
});
