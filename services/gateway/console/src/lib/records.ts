// Records that a person types or picks, and records as a person sees them.

import { decode, type Source } from "@dagyo/client";
import { socketOf } from "./typename";

export interface Typed {
  text: string;
  files: readonly Blob[];
}

/** What to type for a type. */
export function hintOf(typename: string): string {
  return typename.startsWith("Result<") ? "a record a line; error: … is an error" : "a record a line";
}

/** The records that lines stand for; a line of JSON that is none is a SyntaxError. */
export function recordsOf(typename: string, text: string): unknown[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const inner = /^Result<(.*)>$/.exec(typename)?.[1];
  if (inner === undefined) return lines.map((l) => recordOf(typename, l));
  return lines.map((l) => {
    const error = /^error: ?(.*)$/.exec(l)?.[1];
    return error === undefined ? { value: recordOf(inner, l) } : { error };
  });
}

function recordOf(typename: string, line: string): unknown {
  if (typename === "utf8-string") return line;
  if (typename === "json" || typename.startsWith("list<")) return JSON.parse(line);
  return new TextEncoder().encode(line);
}

/** What an input is fed from: a record for each line, or for each file. A single file is a stream of bytes. */
export async function sourceOf(typename: string, typed: Typed | undefined): Promise<Source> {
  const files = typed?.files ?? [];
  if (files.length === 1) return files[0]!;
  if (files.length === 0) return recordsOf(typename, typed?.text ?? "");
  const all = await Promise.all(files.map(async (f) => new Uint8Array(await f.arrayBuffer())));
  return ["utf8-string", "json"].includes(typename) ? all.map((bytes) => decode(typename, bytes)) : all;
}

/** How a record is shown: as text, as a picture (its URL must be revoked), or as the beginning of its bytes. */
export interface Shown {
  kind: "text" | "error" | "picture" | "bytes";
  text: string;
}

export function show(record: unknown): Shown {
  if (record instanceof Uint8Array) return showBytes(record, record.length);
  if (typeof record === "string") return { kind: "text", text: record };
  if (record !== null && typeof record === "object" && "error" in record && typeof record.error === "string") return { kind: "error", text: record.error };
  if (record !== null && typeof record === "object" && "value" in record) return show(record.value);
  return { kind: "text", text: JSON.stringify(record, (_, v) => (v instanceof Uint8Array ? showBytes(v, v.length).text : v)) };
}

/** Shows the first bytes of a record. */
export function showPart(typename: string, base64: string, size: number): Shown {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  if (bytes.length === size) {
    try {
      return typename === "json" ? { kind: "text", text: new TextDecoder().decode(bytes) } : show(decode(typename, bytes));
    } catch {
      return showBytes(bytes, size); // it is not what its type promises
    }
  }
  const { family, wrapper } = socketOf(typename);
  const text = wrapper === "" && (family === "text" || family === "json");
  return text ? { kind: "text", text: `${new TextDecoder().decode(bytes)} … (${size} bytes)` } : showBytes(bytes, size);
}

function showBytes(bytes: Uint8Array, size: number): Shown {
  const type = bytes[0] === 0x89 && bytes[1] === 0x50 ? "image/png" : bytes[0] === 0xff && bytes[1] === 0xd8 ? "image/jpeg" : "";
  if (type !== "" && bytes.length === size) return { kind: "picture", text: URL.createObjectURL(new Blob([bytes as BlobPart], { type })) };
  const hex = [...bytes.subarray(0, 48)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
  return { kind: "bytes", text: hex + (size > 48 ? ` … (${size} bytes)` : "") };
}
