import { expect, it } from "vitest";
import { documentOf } from "../src/lib/document";
import { bytes, count, duration, goDuration, memory, rate } from "../src/lib/format";
import { socketOf } from "../src/lib/typename";

it("writes numbers with their units", () => {
  expect([count(1, "record"), count(2500, "record")]).toEqual(["1 record", "2,500 records"]);
  expect([bytes(310), bytes(18_000), bytes(5_100_000)]).toEqual(["310 B", "18 kB", "5.1 MB"]);
  expect(memory(8 << 20)).toBe("8.0 MiB");
  expect([rate(0), rate(9.61), rate(1234), rate(3_400_000)]).toEqual(["0/s", "9.6/s", "1,234/s", "3.4M/s"]);
});

it("writes durations", () => {
  const all = [12, 400, 8000, 72_000, 365_000, 64_380_000, 273_600_000].map(duration);
  expect(all).toEqual(["12 ms", "0.4 s", "8 s", "1 m 12 s", "6 m 05 s", "17 h 53 m", "3 d 4 h"]);
  expect(goDuration("1h2m3.5s")).toBe(3_723_500);
  expect(goDuration("250ms")).toBe(250);
});

it("tells the sockets of typenames", () => {
  expect(socketOf("utf8-string")).toEqual({ family: "text", wrapper: "" });
  expect(socketOf("Result<json>")).toEqual({ family: "json", wrapper: "result" });
  expect(socketOf("list<T>", ["T"])).toEqual({ family: "any", wrapper: "list" });
  expect(socketOf("zip.T")).toEqual({ family: "any", wrapper: "" });
  expect(socketOf("png")).toEqual({ family: "named", wrapper: "" });
});

it("makes a document of a flow in its normal form", () => {
  const tee = { document: { name: "tee", typeParams: ["T"], inputs: { in: { type: "T" } }, outputs: { a: { type: "T" }, b: { type: "T" } } } };
  const flow = {
    nodes: { t: { progdef: "tee", revision: "1" } },
    edges: [
      { input: "in", to: "t.in", type: "png" },
      { from: "t.a", output: "a", type: "png" },
      { const: { values: ["x"] }, to: "t.extra", type: "json" },
    ],
    deadline: "24h0m0s",
  };
  expect(documentOf(flow, { tee })).toEqual({
    nodes: { t: { progdef: "tee", types: { T: "png" }, with: { extra: ["x"] } } },
    inputs: { in: "t.in" },
    outputs: { a: "t.a" },
  });
});
