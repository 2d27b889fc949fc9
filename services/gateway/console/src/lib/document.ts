// Flow documents: what people write and submit.

import type { NormalFlow } from "@dagyo/client";
import type { PublishedProgdef } from "./model";
import { folded } from "./subflow";

export interface NodeDocument {
  progdef: string;
  /** A node that writes constant records to its output `out`, instead of a progdef. */
  const?: { type?: string; values?: unknown[] };
  with?: Record<string, unknown[]>;
  types?: Record<string, string>;
}

export interface FlowDocument {
  nodes: Record<string, NodeDocument>;
  edges?: { from: string; to: string }[];
  inputs?: Record<string, string>;
  outputs?: Record<string, string>;
  [more: string]: unknown;
}

/**
 * The document of a flow in its normal form, with its subflows as the nodes that they were. Type parameters of programs are those
 * of ports whose type is just the parameter.
 */
export function documentOf(expanded: NormalFlow, progdefs: Record<string, { document: PublishedProgdef }>): FlowDocument {
  const flow = folded(expanded);
  const out: FlowDocument = { nodes: {}, edges: [], inputs: {}, outputs: {} };
  for (const [id, n] of Object.entries(flow.nodes)) {
    const types = expanded.subflows?.[id]?.types ?? {};
    out.nodes[id] = { progdef: n.progdef, ...(Object.keys(types).length > 0 ? { types } : {}) };
  }
  const learn = (end: string | undefined, side: "inputs" | "outputs", type: string | undefined): void => {
    const [id, port] = end?.split(".") ?? [];
    const node = out.nodes[id ?? ""];
    const document = node && progdefs[node.progdef]?.document;
    const declared = document?.[side][port ?? ""]?.type;
    if (node && type && declared && document.typeParams?.includes(declared)) (node.types ??= {})[declared] = type;
  };
  for (const e of flow.edges) {
    learn(e.from, "outputs", e.type);
    learn(e.to, "inputs", e.type);
    const [id = "", port = ""] = e.to?.split(".") ?? [];
    if (e.const && e.output !== undefined) {
      const name = e.const.node!;
      out.nodes[name] = { const: { type: e.type, values: e.const.values ?? [] } } as unknown as NodeDocument;
      out.outputs![e.output] = `${name}.out`;
    } else if (e.const) ((out.nodes[id] as NodeDocument).with ??= {})[port] = e.const.values ?? [];
    else if (e.input !== undefined) out.inputs![e.input] = e.to!;
    else if (e.output !== undefined) out.outputs![e.output] = e.from!;
    else out.edges!.push({ from: e.from!, to: e.to! });
  }
  for (const part of ["inputs", "outputs"] as const) if (Object.keys(out[part]!).length === 0) delete out[part];
  if (out.edges!.length === 0) delete out.edges;
  if (flow.deadline && flow.deadline !== "24h0m0s") out.deadline = flow.deadline;
  return out;
}
