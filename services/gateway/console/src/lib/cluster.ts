// Large flows: the nodes of one progdef at one rank are drawn as one, a cluster. All functions are pure.

import { ordered, worst, type Edge, type EdgeState, type End, type Graph, type Node, type State } from "./model";

/** Up to so many nodes, each is drawn. */
export const mostNodes = 200;
/** Fewer nodes are no cluster. */
const least = 3;

/** The length of the longest path to each node. */
export function ranks(graph: Pick<Graph, "nodes" | "edges">): Map<string, number> {
  const out = new Map(graph.nodes.map((n) => [n.id, 0]));
  const before = new Map<string, string[]>();
  for (const { from, to } of graph.edges) {
    if (!out.has(from.node) || !out.has(to.node)) continue;
    const all = before.get(to.node);
    if (all) all.push(from.node);
    else before.set(to.node, [from.node]);
  }
  for (const n of ordered(graph)) {
    let rank = 0;
    for (const b of before.get(n.id) ?? []) rank = Math.max(rank, out.get(b)! + 1);
    out.set(n.id, rank);
  }
  return out;
}

/** The cluster that each node may be part of. A cluster's id is no name of a node. */
export function clustersOf(graph: Pick<Graph, "nodes" | "edges">): Map<string, string> {
  if (graph.nodes.length <= mostNodes) return new Map();
  const rank = ranks(graph);
  const members = new Map<string, Node[]>();
  for (const n of graph.nodes) {
    const id = `${n.progdef}@${rank.get(n.id)}`;
    const all = members.get(id);
    if (all) all.push(n);
    else members.set(id, [n]);
  }
  return new Map([...members].flatMap(([id, nodes]) => (nodes.length < least ? [] : nodes.map((n): [string, string] => [n.id, id]))));
}

/** The graph with clusters as nodes, but those in open, and without the nodes that stand apart. */
export function cluster(graph: Graph, of: ReadonlyMap<string, string>, open: ReadonlySet<string>, apart: ReadonlySet<string>): Graph {
  if (of.size === 0) return graph;
  const place = new Map<string, string>();
  const parts = new Map<string, Node[]>();
  for (const n of graph.nodes) {
    const c = of.get(n.id);
    if (c === undefined || open.has(c) || apart.has(n.id)) continue;
    place.set(n.id, c);
    const all = parts.get(c);
    if (all) all.push(n);
    else parts.set(c, [n]);
  }
  const end = (e: End): End => (place.has(e.node) ? { node: place.get(e.node)!, port: "" } : e);
  const edges = new Map<string, Edge>();
  for (const e of graph.edges) {
    const [from, to] = [end(e.from), end(e.to)];
    if (from === e.from && to === e.to) {
      edges.set(e.id, e);
      continue;
    }
    const id = `${from.node}.${from.port} → ${to.node}.${to.port}`;
    const sum = edges.get(id);
    if (sum) add(sum, e);
    else edges.set(id, { ...e, id, from, to, sent: e.sent && { ...e.sent }, received: e.received && { ...e.received }, edges: 1 });
  }
  const nodes = [...parts].map(([id, all]): Node => ({
    id,
    progdef: all[0]!.progdef,
    revision: all[0]!.revision,
    executor: "",
    state: worst(all),
    inputs: [],
    outputs: [],
    params: [],
    firstCause: false,
    downstream: all.every((n) => n.downstream),
    parts: all.map((n) => n.id),
    states: count(all),
  }));
  return { ...graph, nodes: [...graph.nodes.filter((n) => !place.has(n.id)), ...nodes], edges: [...edges.values()] };
}

function count(nodes: readonly Node[]): Partial<Record<State, number>> {
  const out: Partial<Record<State, number>> = {};
  for (const n of nodes) out[n.state] = (out[n.state] ?? 0) + 1;
  return out;
}

/** Of edges drawn as one, the state that is shown is the last of these. */
const order: readonly EdgeState[] = ["ended", "idle", "flowing", "filling", "blocked", "problem", "failed"];

/** Adds an edge to those that are drawn as one. */
function add(sum: Edge, e: Edge): void {
  if (sum.type !== e.type) sum.type = "";
  if (order.indexOf(e.state) > order.indexOf(sum.state)) sum.state = e.state;
  sum.sent = plus(sum.sent, e.sent);
  sum.received = plus(sum.received, e.received);
  sum.fill = Math.max(sum.fill, e.fill);
  sum.unread += e.unread;
  sum.rate += e.rate;
  sum.volume += e.volume;
  if (e.blockedSince > 0) sum.blockedSince = sum.blockedSince > 0 ? Math.min(sum.blockedSince, e.blockedSince) : e.blockedSince;
  sum.edges = (sum.edges ?? 1) + 1;
}

function plus(sum: Edge["sent"], c: Edge["sent"]): Edge["sent"] {
  if (!c) return sum;
  if (!sum) return { ...c };
  sum.records = (sum.records ?? 0) + (c.records ?? 0);
  sum.bytes = (sum.bytes ?? 0) + (c.bytes ?? 0);
  return sum;
}

/** A node that is blocked for so long is drawn by itself. */
const longBlocked = 5000;
/** Of blocked nodes, not more stand apart: a flow that is blocked everywhere stays a picture of clusters. */
const mostApart = 40;

/**
 * The nodes that stand apart from clusters: those that have failed, and some that are blocked for long. A node that stood apart
 * goes on to do so: the picture does not jump.
 */
export function apartOf(graph: Pick<Graph, "nodes" | "edges">, before: ReadonlySet<string>, now: number): ReadonlySet<string> {
  const out = new Set(before);
  for (const n of graph.nodes) if (n.firstCause || (n.state === "panicked" && out.size < mostApart)) out.add(n.id);
  for (const e of graph.edges) {
    if (out.size >= mostApart) break;
    if (e.state === "blocked" && e.blockedSince > 0 && now - e.blockedSince >= longBlocked && e.from.node !== "") out.add(e.from.node);
  }
  return out.size === before.size ? before : out;
}
