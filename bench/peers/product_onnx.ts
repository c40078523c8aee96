/** The product of bench/peers/product.ts in onnxruntime-web, on one thread: its workers do not start in Deno. */
import { servePeer } from "./serve.ts";

const { m, n, k, times = 20 } = JSON.parse(Deno.args[0]!);
// The package is named at run time, so that checking this project does not fetch it.
const name = "npm:onnxruntime-web@1.30.0/wasm";
const ort = await import(name);
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(matmulModel(), { executionProviders: ["wasm"] });
const tensor = (rows: number, columns: number): unknown =>
  new ort.Tensor("float32", Float32Array.from({ length: rows * columns }, Math.random), [rows, columns]);
const feeds = { a: tensor(m, k), b: tensor(k, n) };
await servePeer({ "onnxruntime-web": "1.30.0" }, async () => {
  await session.run(feeds);
}, times);
Deno.exit(0);

/** A model of one MatMul, as ONNX's protocol buffers have it: fields of ModelProto, GraphProto, NodeProto, ValueInfoProto. */
function matmulModel(): Uint8Array {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [value & 127 | 128, ...varint(value >> 7)];
  const bytes = (field: number, value: readonly number[]): number[] => [
    ...varint(field << 3 | 2),
    ...varint(value.length),
    ...value,
  ];
  const number = (field: number, value: number): number[] => [...varint(field << 3), ...varint(value)];
  const text = (field: number, value: string): number[] => bytes(field, [...new TextEncoder().encode(value)]);
  const axis = (label: string): number[] => bytes(1, text(2, label));
  const float = 1;
  const matrix = (label: string): number[] => {
    const shape = [...axis(`${label}0`), ...axis(`${label}1`)];
    return [...text(1, label), ...bytes(2, bytes(1, [...number(1, float), ...bytes(2, shape)]))];
  };
  const node = [...text(1, "a"), ...text(1, "b"), ...text(2, "y"), ...text(4, "MatMul")];
  const values = [...bytes(11, matrix("a")), ...bytes(11, matrix("b")), ...bytes(12, matrix("y"))];
  const graph = [...bytes(1, node), ...text(2, "product"), ...values];
  const [irVersion, opset] = [8, 13];
  return Uint8Array.from([...number(1, irVersion), ...bytes(7, graph), ...bytes(8, number(2, opset))]);
}
