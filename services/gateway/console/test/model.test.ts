import { describe, expect, it } from "vitest";
import type { FlowStatus } from "@dagyo/client";
import { Watch, downstream, holderOf, ordered, queueSentence, stateOf } from "../src/lib/model";

const base: FlowStatus = {
  flow: "f",
  phase: "job.started",
  submitted: "2026-01-01T00:00:00Z",
  updated: "2026-01-01T00:00:00Z",
  jobs: {
    a: { progdef: "source", revision: "1", state: "running", executor: "source-1-x" },
    b: { progdef: "greet", revision: "1", state: "running" },
    c: { progdef: "count", revision: "1", state: "running" },
  },
  edges: [
    { from: "a.out", to: "b.in", received: { records: 10, bytes: 100 } },
    { from: "b.out", to: "c.in", received: { records: 8, bytes: 80 }, fill: 60 },
    { from: "c.out", to: "outputs.total" },
  ],
};

describe("the state of a flow", () => {
  it("is that of its verdict, or of its phase", () => {
    expect(stateOf({ phase: "flow.cleaned", verdict: "flow.panic" })).toBe("panicked");
    expect(stateOf({ phase: "flow.rejected" })).toBe("rejected");
    expect(stateOf({ phase: "flow.queued" })).toBe("queued");
    expect(stateOf({ phase: "flow.spawned" })).toBe("starting");
    expect(stateOf({ phase: "job.done" })).toBe("running");
    expect(stateOf({ phase: "job.started", stalled: { since: "" } })).toBe("blocked");
    expect(stateOf({ phase: "flow.validated" })).toBe("checking");
  });
});

describe("a watch", () => {
  it("knows rates from the second look on, as a mean over some seconds", () => {
    const w = new Watch();
    const edge = (n: number, at: number) => w.graph({ ...base, edges: [{ from: "a.out", to: "b.in", received: { records: n, bytes: 10 * n } }] }, null, at).edges[0]!;
    expect(edge(10, 1000).rate).toBe(0);
    expect(edge(30, 2000).rate).toBe(20);
    expect(edge(30, 3000).rate).toBe(10);
    expect(edge(30, 9000).state).toBe("idle");
  });

  it("tells full windows, ended edges and the flow's own ends", () => {
    const w = new Watch();
    const g = w.graph(base, null, 1000);
    expect(g.edges.map((e) => e.state)).toEqual(["flowing", "filling", "idle"]);
    expect(g.outputs.map((p) => p.name)).toEqual(["total"]);
    const over = w.graph({ ...base, verdict: "flow.completed" }, null, 2000);
    expect(over.edges.every((e) => e.state === "ended" && e.rate === 0)).toBe(true);
  });

  it("marks the first cause and what is behind it", () => {
    const g = new Watch().graph({ ...base, verdict: "flow.panic", failures: [{ job: "b", kind: "error", message: "bad", port: "in" }] }, null, 0);
    expect(g.nodes.map((n) => [n.id, n.firstCause, n.downstream])).toEqual([["a", false, false], ["b", true, false], ["c", false, true]]);
    expect(g.edges.find((e) => e.to.node === "b")!.state).toBe("failed");
  });
});

describe("who holds up a flow", () => {
  it("is the first reader whose own outputs are not blocked", () => {
    const w = new Watch();
    const edges = [
      { from: "a.out", to: "b.in", waits: "writer" as const, fill: 100 },
      { from: "b.out", to: "c.in", waits: "writer" as const, fill: 100 },
      { from: "c.out", to: "outputs.total" },
    ];
    const g = w.graph({ ...base, edges }, null, 5000);
    expect(holderOf(g.edges)).toEqual({ node: "c", waiting: ["b", "a"], since: 5000 });
    expect(g.nodes.map((n) => n.state)).toEqual(["blocked", "blocked", "running"]);
  });

  it("may be an output that nobody reads", () => {
    const g = new Watch().graph({ ...base, edges: [{ from: "c.out", to: "outputs.total", waits: "writer", fill: 100 }] }, null, 1);
    expect(holderOf(g.edges)!.node).toBe("outputs.total");
  });

  it("is found in a circle of waiting nodes, too", () => {
    const edges = [
      { from: "a.out", to: "b.in", waits: "writer" as const },
      { from: "b.out", to: "a.in", waits: "writer" as const },
    ];
    expect(holderOf(new Watch().graph({ ...base, edges }, null, 1).edges)).not.toBeNull();
  });
});

it("orders nodes from sources to sinks", () => {
  const g = new Watch().graph({ ...base, edges: [{ from: "c.out", to: "a.in" }, { from: "a.out", to: "b.in" }] }, null, 0);
  expect(ordered(g).map((n) => n.id)).toEqual(["c", "a", "b"]);
  expect([...downstream(g.edges, "c")].sort()).toEqual(["a", "b"]);
});

it("says what a queued flow waits for", () => {
  const s = { what: "slots", progdef: "greet", needed: 1, free: 0, limit: 2 };
  expect(queueSentence({ place: 2, shortage: [s] })).toBe("Place 2. Needs 1 slot of greet, 0 of 2 free");
  expect(queueSentence({ place: 0, shortage: [{ ...s, reason: "no machine has room" }] })).toBe("no machine has room");
  expect(queueSentence({ place: 1, shortage: [{ what: "user-slots", needed: 3, free: 0, held: 4, limit: 4 }] })).toBe("Place 1. Needs 3 slots within the user's limit, 4 of 4 held");
});
