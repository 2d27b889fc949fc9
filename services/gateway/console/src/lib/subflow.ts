// Nodes that stand for a flow: the validator has replaced them by the nodes of that flow. All functions are pure.

import type { NormalEdge, NormalFlow } from "@dagyo/client";
import { byNode, worst, type Edge, type Graph, type Node, type Port } from "./model";

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
  const outer = Object.entries(flow.subflows ?? {}).filter(([, s]) => s.subflow === undefined);
  if (outer.length === 0) return flow;
  const nodes = Object.fromEntries([
    ...Object.entries(flow.nodes).filter(([, n]) => n.subflow === undefined),
    ...outer.map(([name, { progdef, revision }]) => [name, { progdef, revision }]),
  ]);
  const ports = {
    inputs: new Map(outer.flatMap(([name, s]) => Object.entries(s.inputs ?? {}).map(([port, end]) => [end, `${name}.${port}`]))),
    outputs: new Map(outer.flatMap(([name, s]) => Object.entries(s.outputs ?? {}).map(([port, end]) => [end, `${name}.${port}`]))),
  };
  // An end that is a port of a subflow is named so. That of a constant, for which there is no node, is never inside a
  // subflow: the other end of its edge tells.
  const inside = (end: string, side: "inputs" | "outputs") => !ports[side].has(end) && flow.nodes[end.slice(0, end.lastIndexOf("."))]?.subflow !== undefined;
  const edges = flow.edges.flatMap((e): NormalEdge[] => {
    const source = e.from ?? (e.const?.node === undefined ? undefined : `${e.const.node}.out`);
    if ((source !== undefined && inside(source, "outputs")) || (e.to !== undefined && inside(e.to, "inputs"))) return [];
    const edge = { ...e };
    if (e.to !== undefined) edge.to = ports.inputs.get(e.to) ?? e.to;
    const from = source === undefined ? undefined : ports.outputs.get(source);
    if (from !== undefined) {
      edge.from = from;
      delete edge.const;
    }
    return [edge];
  });
  return { ...flow, nodes, edges, subflows: {} };
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
  const ends = { inputs: byNode(edges, "to"), outputs: byNode(edges, "from") };
  const closed = [...parts].map(([id, nodes]): Node => {
    const s = subflows[id]!;
    const ports = (side: "inputs" | "outputs"): Port[] =>
      Object.keys(s[side] ?? {}).sort().map((name) => {
        const edge = ends[side].get(id)?.find((e) => (side === "inputs" ? e.to : e.from).port === name);
        return { name, type: edge?.type || types.get(s[side]![name]!) || "", edge: edge?.id ?? "" };
      });
    return {
      id,
      progdef: s.progdef,
      revision: s.revision,
      executor: "",
      state: worst(nodes),
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
