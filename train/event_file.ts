/**
 * Event files of TensorBoard: records of scalars by step. A record is the length of its bytes, the bytes, and a check sum of
 * both (TFRecord); the bytes are a message `Event` of protocol buffers with fields wall_time (1), step (2), file_version (3) and
 * summary (5), whose values have a tag (1) and a number (2).
 */

/** Scalars of one step. */
export interface ScalarEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** Steps done. */
  readonly step: number;
  /** Numbers by tag, such as "train/loss". */
  readonly scalars: Readonly<Record<string, number>>;
}

/** The record at the start of a file, which tells the version of the format. */
export function versionRecord(wallTime: number): Uint8Array<ArrayBuffer> {
  return framed(joined([double(1, wallTime), bytesField(3, utf8("brain.Event:2"))]));
}

/** The record of some scalars. */
export function scalarRecord({ wallTime, step, scalars }: ScalarEvent): Uint8Array<ArrayBuffer> {
  const values = Object.entries(scalars).map(([tag, value]) =>
    bytesField(1, joined([bytesField(1, utf8(tag)), float(2, value)]))
  );
  // As protocol buffers leave out what is 0.
  const at = step === 0 ? [] : [joined([varint(2 << 3), varint(step)])];
  return framed(joined([double(1, wallTime), ...at, bytesField(5, joined(values))]));
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let left = value;; left = Math.floor(left / 128)) {
    bytes.push(left % 128 + (left >= 128 ? 128 : 0));
    if (left < 128) return Uint8Array.from(bytes);
  }
}

const tagged = (field: number, wire: number, bytes: Uint8Array): Uint8Array =>
  joined([varint(field << 3 | wire), bytes]);

const bytesField = (field: number, bytes: Uint8Array): Uint8Array =>
  tagged(field, 2, joined([varint(bytes.length), bytes]));

function double(field: number, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value, true);
  return tagged(field, 1, new Uint8Array(view.buffer));
}

function float(field: number, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value, true);
  return tagged(field, 5, new Uint8Array(view.buffer));
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function framed(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(data.length), true);
  const size = new Uint8Array(length.buffer);
  return joined([size, checkSum(size), data, checkSum(data)]);
}

/** CRC-32C of some bytes, rotated and moved as TFRecord has it. */
function checkSum(bytes: Uint8Array): Uint8Array {
  let crc = 0xFFFFFFFF;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
  }
  crc = ~crc >>> 0;
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, ((crc >>> 15 | crc << 17) + 0xA282EAD8) >>> 0, true);
  return new Uint8Array(view.buffer);
}
