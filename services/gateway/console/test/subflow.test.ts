import { describe, expect, it } from "vitest";
import type { FlowStatus, NormalFlow } from "@dagyo/client";
import { documentOf } from "../src/lib/document";
import { Watch } from "../src/lib/model";
import { around, fold } from "../src/lib/subflow";

// x is a subflow with the node "more" and the subflow "hello", which has the nodes "a" and "b"; "label" writes constants.
const flow: NormalFlow = {
  nodes: {
    s: { progdef: "source", revision: "1" },
    "x--hello--a": { progdef: "greet", revision: "1", subflow: "x--hello" },
    "x--hello--b": { progdef: "greet", revision: "1", subflow: "x--hello" },
    "x--more": { progdef: "same", revision: "1", subflow: "x" },
  },
  subflows: {
    x: { progdef: "loud", revision: "2", types: { T: "json" }, inputs: { name: "x--hello--a.name" }, outputs: { text: "x--more.out", label: "x--label.out" } },
    "x--hello": { progdef: "twice", revision: "3", subflow: "x", inputs: { name: "x--hello--a.name" }, outputs: { text: "x--hello--b.greeting" } },
  },
  edges: [
    { from: "s.name", to: "x--hello--a.name", type: "utf8-string" },
    { from: "x--more.out", output: "text", type: "utf8-string" },
    { const: { node: "x--label", values: ["l"] }, output: "label", type: "utf8-string" },
    { from: "x--hello--a.greeting", to: "x--hello--b.name", type: "utf8-string" },
    { from: "x--hello--b.greeting", to: "x--more.in", type: "utf8-string" },
    { const: { values: ["v"] }, to: "x--more.other", type: "utf8-string" },
  ],
};

const status: FlowStatus = {
  flow: "f",
  phase: "job.started",
  submitted: "2026-01-01T00:00:00Z",
  updated: "2026-01-01T00:00:00Z",
  jobs: {
    s: { progdef: "source", revision: "1", state: "done" },
    "x--hello--a": { progdef: "greet", revision: "1", state: "done" },
    "x--hello--b": { progdef: "greet", revision: "1", state: "running" },
    "x--more": { progdef: "same", revision: "1", state: "waiting" },
  },
  edges: [],
};

const graph = (s = status) => new Watch().graph(s, { flow, progdefs: {} }, 0);
const drawn = (...open: string[]) => {
  const g = fold(graph(), flow, new Set(open));
  return { nodes: g.nodes.map((n) => n.id).sort(), edges: g.edges.map((e) => `${e.from.node}.${e.from.port} > ${e.to.node}.${e.to.port}`).sort() };
};

describe("a subflow", () => {
  it("is one node with its own ports", () => {
    expect(drawn()).toEqual({ nodes: ["s", "x"], edges: ["s.name > x.name", "x.text > .text"] });
    const x = fold(graph(), flow, new Set()).nodes.find((n) => n.id === "x")!;
    expect([x.progdef, x.state, x.parts?.length, x.inputs.map((p) => p.name), x.outputs.map((p) => p.name)]).toEqual(["loud", "running", 3, ["name"], ["label", "text"]]);
  });

  it("is unfolded one level at a time", () => {
    expect(drawn("x")).toEqual({ nodes: ["s", "x--hello", "x--more"], edges: ["s.name > x--hello.name", "x--hello.text > x--more.in", "x--more.out > .text"] });
    expect(drawn("x", "x--hello").nodes).toEqual(["s", "x--hello--a", "x--hello--b", "x--more"]);
    expect(drawn("x--hello").nodes).toEqual(["s", "x"]);
  });

  it("shows what is wrong in it", () => {
    const failed = graph({ ...status, verdict: "flow.panic", failures: [{ job: "x--hello--b", kind: "error", message: "bad" }] });
    const x = fold(failed, flow, new Set()).nodes.find((n) => n.id === "x")!;
    expect([x.firstCause, x.downstream]).toEqual([true, false]);
  });

  it("knows the subflows around a node", () => {
    expect([around(flow, "x--hello--a"), around(flow, "x--hello"), around(flow, "s"), around(flow, "unknown")]).toEqual([["x", "x--hello"], ["x"], [], []]);
  });

  it("is not confused with a constant of a similar name", () => {
    const own: NormalFlow = { ...flow, edges: [...flow.edges, { const: { node: "x--own", values: ["o"] }, to: "s.in", type: "utf8-string" }] };
    expect(documentOf(own, {}).nodes["s"]).toEqual({ progdef: "source", with: { in: ["o"] } });
  });

  it("is a node of the document again", () => {
    expect(documentOf(flow, {})).toEqual({
      nodes: { s: { progdef: "source" }, x: { progdef: "loud", types: { T: "json" } } },
      edges: [{ from: "s.name", to: "x.name" }],
      outputs: { text: "x.text", label: "x.label" },
    });
  });
});
