import { expect, it } from "vitest";
import { recordsOf, show, showPart, sourceOf } from "../src/lib/records";

const bytes = (text: string) => new TextEncoder().encode(text);

it("reads typed records by their type", () => {
  expect(recordsOf("utf8-string", "a\n\nb\n")).toEqual(["a", "", "b"]);
  expect(recordsOf("utf8-string", "")).toEqual([]);
  expect(recordsOf("json", "[1]\n2")).toEqual([[1], 2]);
  expect(() => recordsOf("json", "[1")).toThrow(SyntaxError);
  expect(recordsOf("png", "é")).toEqual([bytes("é")]);
  expect(recordsOf("Result<json>", "1\nerror: bad")).toEqual([{ value: 1 }, { error: "bad" }]);
  expect(recordsOf("list<json>", "[1, 2]")).toEqual([[1, 2]]);
});

it("makes a record of each file, and a stream of a single one", async () => {
  const files = [new Blob(["x"]), new Blob(["y"])];
  expect(await sourceOf("octets", { text: "", files })).toEqual([bytes("x"), bytes("y")]);
  expect(await sourceOf("utf8-string", { text: "", files })).toEqual(["x", "y"]);
  expect(await sourceOf("octets", { text: "", files: [files[0]!] })).toBe(files[0]);
});

it("shows records", () => {
  expect(show("<b>")).toEqual({ kind: "text", text: "<b>" });
  expect(show({ a: [1] })).toEqual({ kind: "text", text: '{"a":[1]}' });
  expect(show({ value: "ok" })).toEqual({ kind: "text", text: "ok" });
  expect(show({ error: "bad" })).toEqual({ kind: "error", text: "bad" });
  expect(show(Uint8Array.of(1, 255))).toEqual({ kind: "bytes", text: "01 ff" });
  expect(show([Uint8Array.of(1)])).toEqual({ kind: "text", text: '["01"]' });
  expect(show(null)).toEqual({ kind: "text", text: "null" });
});

it("shows the first bytes of records", () => {
  const of = (type: string, text: string, size = text.length) => showPart(type, btoa(text), size);
  expect(of("json", "[1", 9)).toEqual({ kind: "text", text: "[1 … (9 bytes)" });
  expect(of("json", '{"error":"x"}')).toEqual({ kind: "text", text: '{"error":"x"}' });
  expect(of("Result<utf8-string>", "\x01bad")).toEqual({ kind: "error", text: "bad" });
  expect(of("Result<utf8-string>", "\x07bad")).toEqual({ kind: "bytes", text: "07 62 61 64" });
  expect(of("octets", "ab", 100)).toEqual({ kind: "bytes", text: "61 62 … (100 bytes)" });
});
