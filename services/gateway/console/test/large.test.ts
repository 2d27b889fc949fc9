import { expect, test } from "vitest";
import { apartOf, cluster, clustersOf, mostNodes, ranks } from "../src/lib/cluster";
import { find } from "../src/lib/find";
import { layers } from "../src/lib/layers";
import type { Edge, Graph, Node, State } from "../src/lib/model";
import { Scene, boxesOf, startOf, targetOf } from "../src/canvas/scene";

function node(id: string, progdef: string, state: State = "running"): Node {
  return { id, progdef, revision: "r", executor: "", state, inputs: [{ name: "in", type: "", edge: "" }], outputs: [{ name: "out", type: "", edge: "" }], params: [], firstCause: false, downstream: false };
}

function edge(from: string, to: string, more: Partial<Edge> = {}): Edge {
  return { id: `${from}.out → ${to}.in`, from: { node: from, port: "out" }, to: { node: to, port: "in" }, type: "json", state: "flowing", sent: null, received: { records: 2, bytes: 10 }, fill: 5, unread: 1, rate: 3, volume: 15, blockedSince: 0, ...more };
}

/** Lines of three nodes each: a → b → c. */
function lines(n: number): Graph {
  const nodes: Node[] = [];
  const edges: Edge[] = [];
  for (let i = 0; i < n; i++) {
    nodes.push(node("a" + i, "read"), node("b" + i, "change"), node("c" + i, "write"));
    edges.push(edge("a" + i, "b" + i), edge("b" + i, "c" + i));
  }
  return { nodes, edges, inputs: [], outputs: [] };
}

test("a rank is the longest path", () => {
  const g = { nodes: ["a", "b", "c", "d"].map((id) => node(id, "p")), edges: [edge("a", "b"), edge("b", "c"), edge("a", "c")] };
  expect([...ranks(g)]).toEqual([["a", 0], ["b", 1], ["c", 2], ["d", 0]]);
});

test("nodes of one progdef at one rank are a cluster, their edges one edge", () => {
  const g = lines(100);
  g.edges[0] = edge("a0", "b0", { state: "blocked", blockedSince: 7, fill: 100, type: "octets" });
  const c = cluster(g, clustersOf(g), new Set(), new Set());
  expect(c.nodes.map((n) => [n.id, n.parts!.length, n.states])).toEqual([["read@0", 100, { running: 100 }], ["change@1", 100, { running: 100 }], ["write@2", 100, { running: 100 }]]);
  expect(c.edges).toHaveLength(2);
  expect(c.edges[0]).toMatchObject({ from: { node: "read@0" }, to: { node: "change@1" }, type: "", state: "blocked", received: { records: 200, bytes: 1000 }, fill: 100, rate: 300, blockedSince: 7, edges: 100 });
  expect(g.edges[1]!.received).toEqual({ records: 2, bytes: 10 }); // as it was
});

test("open clusters and nodes that stand apart are drawn with their edges", () => {
  const g = lines(100);
  const c = cluster(g, clustersOf(g), new Set(["change@1"]), new Set(["a7"]));
  expect(c.nodes).toHaveLength(100 + 1 + 2);
  expect(c.edges.map((e) => e.id)).toContain("a7.out → b7.in");
  expect(c.edges.map((e) => e.id)).toContain("read@0. → b8.in");
});

test("up to 200 nodes, there are no clusters", () => {
  const g = lines(Math.floor(mostNodes / 3));
  expect(cluster(g, clustersOf(g), new Set(), new Set())).toBe(g);
});

test("what has failed or is blocked for long stands apart, and goes on to do so", () => {
  const g = lines(100);
  g.nodes[4]!.state = "panicked";
  g.edges[8] = edge("a4", "b4", { state: "blocked", blockedSince: 1000 });
  g.edges[10] = edge("a5", "b5", { state: "blocked", blockedSince: 5000 });
  const apart = apartOf(g, new Set(), 6000);
  expect([...apart].sort()).toEqual(["a4", "b1"]);
  expect(apartOf(lines(100), apart, 7000)).toBe(apart);
  for (const e of g.edges) Object.assign(e, { state: "blocked", blockedSince: 1 });
  expect(apartOf(g, new Set(), 9000).size).toBe(40);
});

test("nodes are found by name, progdef and state", () => {
  const g = lines(20);
  g.nodes[0]!.state = "blocked";
  expect(find(g.nodes, "b1").map((n) => n.id)).toEqual(["b1", "b10", "b11", "b12", "b13", "b14", "b15", "b16", "b17", "b18", "b19"]);
  expect(find(g.nodes, "Read blocked").map((n) => n.id)).toEqual(["a0"]);
  expect(find(g.nodes, " ")).toEqual([]);
});

for (const [name, g] of Object.entries({ lines: lines(400), chain: chain(1000), fan: fan(1000), cycle: { nodes: [node("a", "p"), node("b", "p")], edges: [edge("a", "b"), edge("b", "a")], inputs: [], outputs: [] } })) {
  test(`no two boxes of a large graph overlap: ${name}`, () => {
    const boxes = boxesOf(g);
    const at = layers(boxes, g.edges.map((e) => ({ from: startOf(e), to: targetOf(e) })));
    const s = new Scene(g, at);
    for (const b of s.boxes.values()) expect(s.boxesIn(b)).toEqual([b]);
    const { width, height } = s.bounds();
    if (boxes.length > 10) expect(width / height).toBeGreaterThan(0.3);
    expect(width / height).toBeLessThan(5);
  });
}

function chain(n: number): Graph {
  const nodes = Array.from({ length: n }, (_, i) => node("n" + i, "p"));
  return { nodes, edges: nodes.slice(1).map((m, i) => edge("n" + i, m.id)), inputs: [], outputs: [] };
}

function fan(n: number): Graph {
  const nodes = [node("from", "p"), node("to", "p"), ...Array.from({ length: n }, (_, i) => node("n" + i, "p"))];
  return { nodes, edges: nodes.slice(2).flatMap((m) => [edge("from", m.id), edge(m.id, "to")]), inputs: [], outputs: [] };
}

test("a scene knows what is at a point", () => {
  const g = lines(1);
  const s = new Scene(g, new Map([["a0", { x: 0, y: 0 }], ["b0", { x: 300, y: 0 }], ["c0", { x: 600, y: 200 }]]));
  expect(s.at({ x: 10, y: 10 }, 4)).toMatchObject({ box: { id: "a0" } });
  const l = s.lines[0]!;
  expect(s.at({ x: (l.x1 + l.x2) / 2, y: (l.y1 + l.y2) / 2 + 2 }, 4)).toMatchObject({ line: { id: "a0.out → b0.in" } });
  expect(s.at({ x: 400, y: 400 }, 4)).toBeUndefined();
});
