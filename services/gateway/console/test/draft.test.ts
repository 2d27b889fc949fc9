import { beforeEach, describe, expect, it } from "vitest";
import { Draft, isOpenPort, placeOf } from "../src/lib/draft.svelte";

const text = `# two greetings
nodes:
  hello: {progdef: greet}
  copies:
    progdef: tee # for both
edges:
  - {from: hello.greeting, to: copies.in}
inputs:
  names: hello.name
outputs:
  a: copies.a
  b: copies.b
`;

describe("a draft", () => {
  let d: Draft;
  beforeEach(() => {
    d = new Draft(text);
  });

  it("keeps comments and order when the canvas changes it", () => {
    d.add("count", { x: 1, y: 2 });
    expect(d.text).toContain("# two greetings");
    expect(d.text).toContain("progdef: tee # for both");
    expect(d.text).toContain("  count: {progdef: count}");
    expect(d.flow.nodes.count).toEqual({ progdef: "count" });
    expect(d.at.count).toEqual({ x: 1, y: 2 });
  });

  it("gives nodes free names", () => {
    expect(d.add("greet", { x: 0, y: 0 })).toBe("greet");
    expect(d.add("greet", { x: 0, y: 0 })).toBe("greet-2");
  });

  it("connects, exposes and sets values, also in an empty document", () => {
    const e = new Draft("");
    e.add("source", { x: 0, y: 0 });
    e.add("head", { x: 0, y: 0 });
    e.connect("source.name", "head.in");
    e.set("head", "n", ["2"]);
    e.expose("output", "head.out");
    expect(e.flow).toEqual({
      nodes: { source: { progdef: "source" }, head: { progdef: "head", with: { n: ["2"] } } },
      edges: [{ from: "source.name", to: "head.in" }],
      outputs: { out: "head.out" },
    });
    e.set("head", "n", null);
    expect(e.flow.nodes.head).toEqual({ progdef: "head" });
  });

  it("removes nodes with all that they are connected to", () => {
    d.remove(["copies"]);
    expect(d.flow).toEqual({ nodes: { hello: { progdef: "greet" } }, edges: [], inputs: { names: "hello.name" }, outputs: {} });
    d.remove([], ["inputs.names"]);
    expect(d.flow.inputs).toEqual({});
  });

  it("renames nodes everywhere", () => {
    d.rename("copies", "both");
    expect(d.flow.edges).toEqual([{ from: "hello.greeting", to: "both.in" }]);
    expect(d.flow.outputs).toEqual({ a: "both.a", b: "both.b" });
    expect(Object.keys(d.flow.nodes)).toEqual(["hello", "both"]);
    expect(d.text).toContain("# for both");
  });

  it("shares an output with a tee, and an input with a merge", () => {
    d.add("count", { x: 0, y: 0 });
    d.connect("hello.greeting", "count.in");
    const id = d.share("hello.greeting", "output", { x: 0, y: 0 });
    expect(d.flow.nodes[id]).toEqual({ progdef: "tee" });
    expect(d.flow.edges).toEqual([
      { from: `${id}.a`, to: "copies.in" },
      { from: `${id}.b`, to: "count.in" },
      { from: "hello.greeting", to: `${id}.in` },
    ]);
  });

  it("inserts a node into an edge", () => {
    const id = d.insert(0, "assert", "in", "out", { x: 0, y: 0 });
    expect(d.flow.edges).toEqual([
      { from: "hello.greeting", to: `${id}.in` },
      { from: `${id}.out`, to: "copies.in" },
    ]);
  });

  it("undoes and redoes every change", () => {
    d.add("count", { x: 0, y: 0 });
    d.type(d.text + "deadline: 1m\n");
    d.undo();
    d.undo();
    expect(d.text).toBe(text);
    d.redo();
    expect(d.flow.nodes.count).toBeDefined();
    d.add("zip", { x: 0, y: 0 });
    d.redo();
    expect(d.flow.deadline).toBeUndefined();
  });

  it("keeps the canvas while the text cannot be read, and refuses changes by the canvas", () => {
    d.type("nodes: {a: [");
    expect(d.broken.length).toBeGreaterThan(0);
    expect(Object.keys(d.flow.nodes)).toEqual(["hello", "copies"]);
    d.add("count", { x: 0, y: 0 });
    expect(d.text).toBe("nodes: {a: [");
  });

  it("shows what it can of a wrong document", () => {
    const e = new Draft("nodes: {a: 1, b: {progdef: [x]}}\nedges: {x: y}\ninputs: {z: 3}\n");
    expect(e.broken).toEqual([]);
    expect(e.flow).toEqual({ nodes: { a: { progdef: "" }, b: { progdef: "" } }, edges: [], inputs: { z: "" } });
    expect(new Draft("- a\n").broken.length).toBe(1);
  });

  it("keeps what the canvas does not show", () => {
    const e = new Draft('nodes: {names: {const: {type: utf8-string, values: ["x"]}}, n: {progdef: greet, odd: 1}}\n');
    expect(e.flow.nodes.names).toEqual({ progdef: "", const: { type: "utf8-string" } });
    expect(e.value).toEqual({ nodes: { names: { const: { type: "utf8-string", values: ["x"] } }, n: { progdef: "greet", odd: 1 } } });
    const p = new Draft("");
    p.paste(e.text, ["names"], 0);
    expect(p.value).toEqual({ nodes: { names: { const: { type: "utf8-string", values: ["x"] } } } });
  });

  it("pastes nodes with the edges between them under free names", () => {
    expect(d.paste(text, ["hello", "copies"], 10)).toEqual(["hello-2", "copies-2"]);
    expect(d.flow.edges).toContainEqual({ from: "hello-2.greeting", to: "copies-2.in" });
    expect(d.paste("no document: [", null, 0)).toEqual([]);
  });

  it("finds the place of a pointer in the text", () => {
    const at = d.place("/edges/0/to");
    expect(text.slice(at.from, at.to)).toBe("copies.in");
    const node = d.place("/nodes/copies/progdef");
    expect(text.slice(node.from, node.to)).toBe("tee");
    expect(d.place("/nodes/nothing").from).toBe(d.place("/nodes").from);
  });
});

it("finds the place of a problem on the canvas", () => {
  expect(placeOf({ code: "no-sink", pointer: "/nodes/t", message: "the output t.a is not connected" })).toEqual({ id: "t", port: "a" });
  expect(placeOf({ code: "type-mismatch", pointer: "/edges/3", message: "" })).toEqual({ id: "edge.3", port: "" });
  expect(placeOf({ code: "unknown-node", pointer: "/inputs/x", message: "" })).toEqual({ id: "inputs.x", port: "" });
  expect(isOpenPort({ code: "no-source", pointer: "", message: "" })).toBe(true);
});
