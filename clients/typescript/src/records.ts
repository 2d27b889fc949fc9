// Records, their encodings by typename, and the lines in which the gateway carries them.

/** The record of a typename `Result<T>`. */
export type Result<T> = { value: T; error?: never } | { error: string; value?: never };

/**
 * The records of a typename: `string` for `utf8-string`, any JSON value for `json`, {@link Result} for `Result<T>`, an array
 * for `list<T>`, and bytes for every other one. A typename that is not known has records of type `any`.
 */
export type RecordOf<T extends string> = string extends T
  ? any
  : T extends "utf8-string"
    ? string
    : T extends "json"
      ? unknown
      : T extends `Result<${infer V}>`
        ? Result<RecordOf<V>>
        : T extends `list<${infer V}>`
          ? RecordOf<V>[]
          : Uint8Array;

const utf8 = new TextEncoder();
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the typename in the brackets of `outer<…>`, if that is what a typename is. */
function argument(typename: string, outer: string): string | undefined {
  return typename.startsWith(outer + "<") && typename.endsWith(">") ? typename.slice(outer.length + 1, -1) : undefined;
}

/** Returns the bytes of a record. */
export function encode(typename: string, record: unknown): Uint8Array {
  if (typename === "utf8-string") return utf8.encode(expectText(typename, record));
  if (typename === "json") return utf8.encode(jsonText(record));
  const value = argument(typename, "Result");
  if (value !== undefined) return encodeResult(typename, value, record);
  const element = argument(typename, "list");
  if (element !== undefined) return encodeList(typename, element, record);
  if (record instanceof Uint8Array) return record;
  if (record instanceof ArrayBuffer) return new Uint8Array(record);
  throw wrongRecord(typename, "a Uint8Array", record);
}

/** Returns the record that bytes encode. */
export function decode(typename: string, bytes: Uint8Array): unknown {
  if (typename === "utf8-string") return text.decode(bytes);
  if (typename === "json") return JSON.parse(text.decode(bytes));
  const value = argument(typename, "Result");
  if (value !== undefined) return decodeResult(typename, value, bytes);
  const element = argument(typename, "list");
  if (element !== undefined) return decodeList(typename, element, bytes);
  return bytes;
}

function wrongRecord(typename: string, want: string, got: unknown): TypeError {
  const what = got === null ? "null" : typeof got === "object" ? `an object (${got.constructor?.name ?? "no class"})` : `a ${typeof got}`;
  return new TypeError(`a record of typename ${typename} must be ${want}, not ${what}`);
}

function expectText(typename: string, record: unknown): string {
  if (typeof record !== "string") throw wrongRecord(typename, "a string", record);
  return record;
}

function jsonText(record: unknown): string {
  const json = JSON.stringify(record);
  if (json === undefined) throw wrongRecord("json", "a JSON value", record);
  return json;
}

function encodeResult(typename: string, value: string, record: unknown): Uint8Array {
  if (typeof record === "object" && record !== null) {
    if ("error" in record && typeof record.error === "string") return concat([Uint8Array.of(1), utf8.encode(record.error)]);
    if ("value" in record) return concat([Uint8Array.of(0), encode(value, record.value)]);
  }
  throw wrongRecord(typename, "{ value } or { error: string }", record);
}

function decodeResult(typename: string, value: string, bytes: Uint8Array): Result<unknown> {
  if (bytes[0] === 0) return { value: decode(value, bytes.subarray(1)) };
  if (bytes[0] === 1) return { error: text.decode(bytes.subarray(1)) };
  throw new TypeError(`a record of typename ${typename} must begin with the byte 0 or 1, not ${bytes[0] ?? "its end"}`);
}

function encodeList(typename: string, element: string, record: unknown): Uint8Array {
  if (!Array.isArray(record)) throw wrongRecord(typename, "an array", record);
  return concat(
    record.flatMap((e) => {
      const bytes = encode(element, e);
      return [leb128(bytes.length), bytes];
    }),
  );
}

function decodeList(typename: string, element: string, bytes: Uint8Array): unknown[] {
  const out: unknown[] = [];
  let at = 0;
  while (at < bytes.length) {
    let length = 0;
    let scale = 1;
    let byte: number | undefined;
    do {
      byte = bytes[at++];
      if (byte === undefined) throw truncated(typename);
      length += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte & 0x80);
    if (length > bytes.length - at) throw truncated(typename);
    out.push(decode(element, bytes.subarray(at, at + length)));
    at += length;
  }
  return out;
}

function truncated(typename: string): TypeError {
  return new TypeError(`a record of typename ${typename} ends in the middle of an element`);
}

function leb128(n: number): Uint8Array {
  const out: number[] = [];
  for (; n >= 128; n = Math.floor(n / 128)) out.push((n % 128) | 0x80);
  return Uint8Array.of(...out, n);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

// String.fromCharCode takes its bytes as arguments, whose number is limited.
const argumentsLimit = 8192;

// Node has a faster way than btoa.
const { Buffer } = globalThis as { Buffer?: { from(b: ArrayBufferLike, at: number, n: number): { toString(encoding: string): string } } };

/** Returns bytes in Base64. */
export function toBase64(bytes: Uint8Array): string {
  if (Buffer) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
  let binary = "";
  for (let at = 0; at < bytes.length; at += argumentsLimit) {
    binary += String.fromCharCode(...bytes.subarray(at, at + argumentsLimit));
  }
  return btoa(binary);
}

function fromBase64(base64: string): Uint8Array {
  const binary = atob(base64);
  const out = new Uint8Array(binary.length);
  for (let i = 0; i < out.length; i++) out[i] = binary.charCodeAt(i);
  return out;
}

/** Returns a record as it is written in a flow document. */
export function toValue(typename: string, record: unknown): string | { base64: string } {
  if (typename === "utf8-string") return expectText(typename, record);
  if (typename === "json") return jsonText(record);
  return { base64: toBase64(encode(typename, record)) };
}

/** How the gateway carries records in a body. */
export type Format = "lines" | "jsonl" | "base64" | "file";

/** Returns the format in which records of a typename are sent one by one, whatever is in them. */
export function recordFormat(typename: string): Format {
  return typename === "utf8-string" || typename === "json" ? "jsonl" : "base64";
}

/** Returns the format of a body of bytes, such as a file: text has a record in each line, all else is one record. */
export function bytesFormat(typename: string): Format {
  return typename === "utf8-string" || typename === "json" ? "lines" : "file";
}

/** Returns a record as a line in its {@link recordFormat}. */
export function toLine(typename: string, record: unknown): string {
  if (typename === "utf8-string") return JSON.stringify(expectText(typename, record)) + "\n";
  if (typename === "json") return jsonText(record) + "\n";
  return toBase64(encode(typename, record)) + "\n";
}

/** Returns the record on a line in its {@link recordFormat}. */
export function fromLine(typename: string, line: string): unknown {
  if (recordFormat(typename) === "base64") return decode(typename, fromBase64(line));
  const value = JSON.parse(line);
  if (typename === "utf8-string" && typeof value !== "string") throw new TypeError("a record of typename utf8-string is not valid UTF-8");
  return value;
}

/** Yields the lines of a body. The body is cancelled when the caller stops early. */
export async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let begun: string[] = []; // the parts of a line that has not ended
  try {
    for (;;) {
      const { value, done } = await reader.read();
      const parts = (done ? decoder.decode() : decoder.decode(value, { stream: true })).split("\n");
      const rest = parts.pop() ?? "";
      for (const part of parts) {
        yield begun.length > 0 ? begun.join("") + part : part;
        begun = [];
      }
      if (rest !== "") begun.push(rest);
      if (!done) continue;
      if (begun.length > 0) yield begun.join("");
      return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

/** What an input is fed from. Bytes are those of a file: lines of text, or one record of any other typename. */
export type Source<R = any> = Iterable<R> | AsyncIterable<R> | Bytes;

/** The bytes of a file, or of a stream. A Node stream that is not in object mode counts as one. */
export type Bytes = Blob | Uint8Array | ReadableStream<Uint8Array>;

/** The body of a request. */
export type Body = string | Blob | Uint8Array | ReadableStream<Uint8Array>;

/** Returns the body that carries a source, and its format. `failed` is called with an error of the source. */
export function toBody(typename: string, source: Source, failed: (error: unknown) => void): { body: Body; format: Format } {
  if (source instanceof Blob || source instanceof Uint8Array || source instanceof ReadableStream) {
    return { body: source, format: bytesFormat(typename) };
  }
  if (typeof source !== "object" || source === null || !(Symbol.iterator in source || Symbol.asyncIterator in source)) {
    throw new TypeError(`an input must be an array, an iterable or bytes, not a ${typeof source}: put a single record into an array`);
  }
  if (isNodeStream(source)) return { body: toStream(source[Symbol.asyncIterator](), failed), format: bytesFormat(typename) };
  return { body: toStream(batches(typename, source), failed), format: recordFormat(typename) };
}

function isNodeStream(source: object): source is AsyncIterable<Uint8Array> {
  return "pipe" in source && "readableObjectMode" in source && source.readableObjectMode === false;
}

/** Records are sent together up to about this many characters, unless they are waited for. */
const batchLimit = 64 << 10;

async function* batches(typename: string, source: Iterable<unknown> | AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  if (Symbol.asyncIterator in source) {
    for await (const record of source) yield utf8.encode(toLine(typename, record));
    return;
  }
  let batch = "";
  for (const record of source) {
    batch += toLine(typename, record);
    if (batch.length < batchLimit) continue;
    yield utf8.encode(batch);
    batch = "";
  }
  if (batch !== "") yield utf8.encode(batch);
}

/** How long a source may keep the event loop from other work, in ms. */
const turnTime = 10;

/** Returns a stream that takes the next bytes only when they are wanted. */
function toStream(bytes: AsyncIterator<Uint8Array>, failed: (error: unknown) => void): ReadableStream<Uint8Array> {
  let turned = performance.now();
  return new ReadableStream(
    {
      async pull(to) {
        try {
          if (performance.now() - turned > turnTime) {
            await new Promise((done) => setTimeout(done));
            turned = performance.now();
          }
          const { value, done } = await bytes.next();
          if (done) to.close();
          else to.enqueue(value);
        } catch (e) {
          failed(e);
          throw e;
        }
      },
      async cancel() {
        await bytes.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
