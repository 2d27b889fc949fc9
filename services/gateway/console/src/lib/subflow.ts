// Nodes that stand for a flow: the validator has replaced them by the nodes of that flow. All functions are pure.

import type { NormalFlow } from "@dagyo/client";
import type { Edge, Graph, Node, Port, State } from "./model";

type Subflows = NonNullable<NormalFlow["subflows"]>;

/** The subflows that a node is part of, the outermost first. */
export function around(flow: NormalFlow, node: string): string[] {
  const out: string[] = [];
  const all = flow.subflows ?? {};
  for (let s = (flow.nodes[node] ?? all[node])?.subflow; s !== undefined && !out.includes(s); s = all[s]?.subflow) out.unshift(s);
  return out;
}

/** The outermost subflow around a node that is not open, or undefined. */
function closedAround(flow: NormalFlow, node: string, open: ReadonlySet<string>): string | undefined {
  return around(flow, node).find((s) => !open.has(s));
}

function portOf(ports: Record<string, string> | undefined, end: string): string | undefined {
  return Object.entries(ports ?? {}).find(([, inner]) => inner === end)?.[0];
}

/** The normal form with subflows as nodes: without their nodes and the edges in them. */
export function folded(flow: NormalFlow): NormalFlow {
  const subflows = flow.subflows ?? {};
  const outer = new Set(Object.entries(subflows).flatMap(([name, s]) => (s.subflow === undefined ? [name] : [])));
  if (outer.size === 0) return flow;
  const nodes = Object.fromEntries([
    ...Object.entries(flow.nodes).filter(([, n]) => n.subflow === undefined),
    ...[...outer].map((name): [string, NormalFlow["nodes"][string]] => [name, { progdef: subflows[name]!.progdef, revision: subflows[name]!.revision }]),
  ]);
  const edges = flow.edges.flatMap((e) => {
    const to = e.to === undefined ? { end: undefined } : outside(flow, e.to, "inputs");
    const source = e.from ?? (e.const?.node === undefined ? undefined : e.const.node + ".out");
    const from = source === undefined ? { end: undefined } : outside(flow, source, "outputs");
    if (to === null || from === null) return [];
    const { from: _, to: __, ...rest } = e;
    if (e.const && from.end === source) return [{ ...rest, ...(to.end === undefined ? {} : { to: to.end }) }];
    const { const: ___, ...plain } = rest;
    return [{ ...plain, ...(from.end === undefined ? {} : { from: from.end }), ...(to.end === undefined ? {} : { to: to.end }) }];
  });
  return { ...flow, nodes, edges, subflows: {} };
}

/**
 * An end as one of the document: that of the outermost subflow, if it is one of its ports. null if it is inside. That of a
 * constant, which the normal form has no node for, never is: its other end tells.
 */
function outside(flow: NormalFlow, end: string, side: "inputs" | "outputs"): { end: string } | null {
  const node = end.slice(0, end.lastIndexOf("."));
  for (const [name, s] of Object.entries(flow.subflows ?? {})) {
    if (s.subflow !== undefined) continue;
    const port = portOf(s[side], end);
    if (port !== undefined) return { end: `${name}.${port}` };
  }
  return flow.nodes[node]?.subflow === undefined ? { end } : null;
}

const worst: readonly State[] = ["panicked", "blocked", "running", "starting", "queued", "waiting", "checking", "stopped", "cancelled"];

/** The state of several nodes together: that of the one that needs attention most. */
function together(nodes: readonly Node[]): State {
  if (nodes.every((n) => n.state === "done")) return "done";
  if (nodes.some((n) => n.state === "done") && nodes.every((n) => n.state === "done" || n.state === "waiting")) return "running";
  return worst.find((s) => nodes.some((n) => n.state === s)) ?? nodes[0]!.state;
}

/** The graph with each subflow that is not open as one node. */
export function fold(graph: Graph, flow: NormalFlow | undefined, open: ReadonlySet<string>): Graph {
  const subflows: Subflows = flow?.subflows ?? {};
  if (!flow || Object.keys(subflows).length === 0) return graph;
  const place = new Map(graph.nodes.map((n) => [n.id, closedAround(flow, n.id, open)]));
  const parts = new Map<string, Node[]>();
  for (const n of graph.nodes) {
    const s = place.get(n.id);
    if (s !== undefined) parts.set(s, [...(parts.get(s) ?? []), n]);
  }
  const edges = graph.edges.flatMap((e): Edge[] => {
    const [from, to] = [place.get(e.from.node), place.get(e.to.node)];
    if (from === undefined && to === undefined) return [e];
    if (from === to) return [];
    const port = (s: string | undefined, end: Edge["from"], side: "inputs" | "outputs") =>
      s === undefined ? end : { node: s, port: portOf(subflows[s]?.[side], `${end.node}.${end.port}`) ?? end.port };
    return [{ ...e, from: port(from, e.from, "outputs"), to: port(to, e.to, "inputs") }];
  });
  const types = new Map(flow.edges.flatMap((e) => [e.from, e.to].map((end): [string, string] => [end ?? "", e.type ?? ""])));
  const closed = [...parts].map(([id, nodes]): Node => {
    const s = subflows[id]!;
    const ports = (side: "inputs" | "outputs"): Port[] =>
      Object.keys(s[side] ?? {}).sort().map((name) => {
        const edge = edges.find((e) => (side === "inputs" ? e.to : e.from).node === id && (side === "inputs" ? e.to : e.from).port === name);
        return { name, type: edge?.type || types.get(s[side]![name]!) || "", edge: edge?.id ?? "" };
      });
    return {
      id,
      progdef: s.progdef,
      revision: s.revision,
      executor: "",
      state: together(nodes),
      inputs: ports("inputs"),
      outputs: ports("outputs"),
      params: [],
      firstCause: nodes.some((n) => n.firstCause),
      downstream: nodes.every((n) => n.downstream),
      parts: nodes.map((n) => n.id),
    };
  });
  return { ...graph, nodes: [...graph.nodes.filter((n) => place.get(n.id) === undefined), ...closed], edges };
}
