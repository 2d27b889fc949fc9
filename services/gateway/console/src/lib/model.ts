// What the console shows of a flow, from its status. All functions are pure.

import type { Count, EdgeCount, FlowLine, FlowStatus, JobStatus, NormalFlow, Published } from "@dagyo/client";
import { duration } from "./format";

export type JobState = JobStatus["state"];
export type PublishedProgdef = Published["document"];

export type State =
  | "checking"
  | "waiting"
  | "queued"
  | "starting"
  | "running"
  | "blocked"
  | "completed"
  | "done"
  | "panicked"
  | "rejected"
  | "cancelled"
  | "stopped";

const verdicts: Record<string, State> = {
  "flow.completed": "completed",
  "flow.panic": "panicked",
  "flow.cancelled": "cancelled",
  "flow.rejected": "rejected",
};

/** The state of a flow, from its status or its line in a list. */
export function stateOf(f: Pick<FlowLine, "phase" | "verdict" | "place"> & { queued?: unknown; stalled?: unknown }): State {
  const end = verdicts[f.verdict ?? ""] ?? verdicts[f.phase];
  if (end) return end;
  if (f.stalled) return "blocked";
  if (f.phase.startsWith("job.") || f.phase === "flow.stalled") return "running";
  if (f.phase === "flow.spawned") return "starting";
  if (f.phase === "flow.queued" || f.phase === "flow.planned" || f.queued || f.place) return "queued";
  return "checking";
}

export function ended(s: State): boolean {
  return s === "completed" || s === "panicked" || s === "cancelled" || s === "rejected";
}

export const words: Record<State, string> = {
  checking: "Checking",
  waiting: "Waiting",
  queued: "Queued",
  starting: "Starting",
  running: "Running",
  blocked: "Blocked",
  completed: "Completed",
  done: "Done",
  panicked: "Panicked",
  rejected: "Rejected",
  cancelled: "Cancelled",
  stopped: "Stopped",
};

/** An end of an edge: a port of a node, or one of the flow's own inputs and outputs, whose node is "". */
export interface End {
  node: string;
  port: string;
}

export type EdgeState = "idle" | "flowing" | "filling" | "blocked" | "ended" | "failed" | "problem";

export interface Edge {
  id: string;
  from: End;
  to: End;
  type: string;
  state: EdgeState;
  sent: Count | null;
  received: Count | null;
  fill: number;
  unread: number;
  /** Records and bytes a second that were received between the last two looks. */
  rate: number;
  volume: number;
  /** When its writer began to wait, 0 if it does not. */
  blockedSince: number;
  /** How many edges it stands for, if it is one of a cluster. */
  edges?: number;
}

export interface Port {
  name: string;
  type: string;
  edge: string;
}

export interface Node {
  id: string;
  progdef: string;
  revision: string;
  executor: string;
  state: State;
  inputs: Port[];
  outputs: Port[];
  params: string[];
  firstCause: boolean;
  downstream: boolean;
  /** The nodes that it stands for, if it is a subflow or a cluster that is drawn as one node. */
  parts?: string[];
  /** Of a cluster: how many nodes are in each state. */
  states?: Partial<Record<State, number>>;
}

export interface Graph {
  nodes: Node[];
  edges: Edge[];
  inputs: Port[];
  outputs: Port[];
}

/** What is known of a flow's structure, from the event flow.validated. Without it, edges have no types. */
export interface Structure {
  flow: NormalFlow;
  progdefs: Record<string, { document: PublishedProgdef }>;
}

function endOf(text: string): End {
  const at = text.lastIndexOf(".");
  const node = text.slice(0, at);
  const port = text.slice(at + 1);
  return node === "inputs" || node === "outputs" ? { node: "", port } : { node, port };
}

export function edgeID(from: string, to: string): string {
  return `${from} → ${to}`;
}

/** The name of an end in the status of a flow. */
export function nameOf(end: End, side: "from" | "to"): string {
  return end.node === "" ? `${side === "from" ? "inputs" : "outputs"}.${end.port}` : `${end.node}.${end.port}`;
}

interface Look {
  at: number;
  edges: Map<string, { records: number; bytes: number; moved: number; blockedSince: number }>;
}

/** Rates are means over so many milliseconds: readers report what they have read now and then. */
const span = 4000;

const finals: ReadonlySet<unknown> = new Set<JobState>(["done", "stopped", "panicked"]);

/** What of an edge stays the same. */
interface Fixed {
  id: string;
  from: End;
  to: End;
  type: string;
}

/** Follows a flow through its statuses: rates need two of them. */
export class Watch {
  private looks: Look[] = [];
  private structure: Structure | null = null;
  private known = new Map<string, Fixed>();
  private order: Fixed[] = [];
  private ends = { from: new Map<string, Fixed[]>(), to: new Map<string, Fixed[]>() };
  private ports = new Map<string, Pick<Node, "inputs" | "outputs">>();

  /** Notes edges that are new. */
  private know(structure: Structure | null, counts: ReadonlyMap<string, EdgeCount>): void {
    for (const [id, c] of counts) {
      if (!this.known.has(id)) this.known.set(id, { id, from: endOf(c.from), to: endOf(c.to), type: "" });
    }
    if (structure !== this.structure) {
      this.structure = structure;
      for (const e of structure?.flow.edges ?? []) {
        if (e.const || (e.from ?? e.input) === undefined || (e.to ?? e.output) === undefined) continue;
        const [from, to] = [e.from ?? "inputs." + e.input, e.to ?? "outputs." + e.output];
        const id = edgeID(from, to);
        this.known.set(id, { id, from: endOf(from), to: endOf(to), type: e.type ?? "" });
      }
      this.order = [];
    }
    if (this.order.length === this.known.size && this.known.size > 0) return;
    this.order = [...this.known.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.ends = { from: byNode(this.order, "from"), to: byNode(this.order, "to") };
    this.ports = new Map();
  }

  graph(status: FlowStatus, structure: Structure | null, now: number): Graph {
    const look: Look = { at: now, edges: new Map() };
    const counts = new Map<string, EdgeCount>();
    for (const e of status.edges ?? []) counts.set(edgeID(e.from, e.to), e);
    this.know(structure, counts);
    const over = ended(stateOf(status));
    const cause = status.failures?.[0];
    const edges: Edge[] = [];
    for (const f of this.order) edges.push(this.edge(f, counts.get(f.id) ?? {}, status, look, over));
    this.looks = [...this.looks.filter((l) => now - l.at <= span), look];
    if (cause?.job && cause.port) {
      for (const e of edges) if (e.to.node === cause.job && e.to.port === cause.port) e.state = "failed";
    }
    const blocked = new Set<string>();
    for (const e of edges) if (e.state === "blocked") blocked.add(e.from.node);
    const nodes = Object.entries(status.jobs).map(([id, j]): Node => {
      const document = structure?.progdefs[j.progdef]?.document;
      return {
        id,
        progdef: j.progdef,
        revision: j.revision,
        executor: j.executor ?? "",
        state: j.state === "running" && blocked.has(id) ? "blocked" : j.state,
        ...this.portsOf(id, document),
        params: document?.typeParams ?? [],
        firstCause: cause?.job === id,
        downstream: false,
      };
    });
    if (cause?.job) {
      const behind = downstream(edges, cause.job);
      for (const n of nodes) n.downstream = behind.has(n.id) && n.state !== "done";
    }
    const own = (side: "from" | "to"): Port[] => (this.ends[side].get("") ?? []).map((e) => ({ name: e[side].port, type: e.type, edge: e.id }));
    return { nodes, edges, inputs: own("from"), outputs: own("to") };
  }

  private portsOf(id: string, document: PublishedProgdef | undefined): Pick<Node, "inputs" | "outputs"> {
    let out = this.ports.get(id);
    if (out) return out;
    const ports = (side: "to" | "from", declared: PublishedProgdef["inputs"] | PublishedProgdef["outputs"] = {}): Port[] => {
      const of = new Map((this.ends[side].get(id) ?? []).map((e) => [e[side].port, e]));
      return [...new Set([...Object.keys(declared), ...of.keys()])].map((name) => ({ name, type: of.get(name)?.type || declared[name]?.type || "", edge: of.get(name)?.id ?? "" }));
    };
    out = { inputs: ports("to", document?.inputs), outputs: ports("from", document?.outputs) };
    this.ports.set(id, out);
    return out;
  }

  private edge({ id, from, to, type }: Fixed, c: Partial<EdgeCount>, status: FlowStatus, look: Look, over: boolean): Edge {
    const before = this.looks.at(-1)?.edges.get(id);
    const first = this.looks.find((l) => look.at - l.at <= span && l.edges.has(id));
    const records = Math.max(c.received?.records ?? 0, c.sent?.records ?? 0);
    const volume = Math.max(c.received?.bytes ?? 0, c.sent?.bytes ?? 0);
    const fill = over ? 0 : (c.fill ?? 0);
    const passed = first ? (look.at - first.at) / 1000 : 0;
    const since = first?.edges.get(id);
    const moved = before === undefined ? (records > 0 ? look.at : 0) : records > before.records ? look.at : before.moved;
    const waits = !over && c.waits === "writer";
    const now = { records, bytes: volume, moved, blockedSince: waits ? before?.blockedSince || look.at : 0 };
    look.edges.set(id, now);
    const finished = (node: string) => node !== "" && finals.has(status.jobs[node]?.state);
    let state: EdgeState = "idle";
    if (over || finished(to.node) || (finished(from.node) && (c.unread ?? 0) === 0)) state = "ended";
    else if (waits || fill >= 100) state = "blocked";
    else if (fill >= 50) state = "filling";
    else if (moved > 0 && look.at - moved < 2000) state = "flowing";
    return {
      id,
      from,
      to,
      type,
      state,
      sent: c.sent ?? null,
      received: c.received ?? null,
      fill,
      unread: c.unread ?? 0,
      rate: since && passed > 0 && !over ? Math.max(0, records - since.records) / passed : 0,
      volume: since && passed > 0 && !over ? Math.max(0, volume - since.bytes) / passed : 0,
      blockedSince: now.blockedSince,
    };
  }
}

const attention: readonly State[] = ["panicked", "blocked", "running", "starting", "queued", "waiting", "checking", "stopped", "cancelled"];

/** The state of several nodes together: that of the one that needs attention most. */
export function worst(nodes: readonly Node[]): State {
  const seen = new Set(nodes.map((n) => n.state));
  if (seen.has("done") && [...seen].every((s) => s === "done" || s === "waiting")) return seen.size === 1 ? "done" : "running";
  return attention.find((s) => seen.has(s)) ?? nodes[0]!.state;
}

/** The edges that each node writes ("from") or reads ("to"). The flow's own ends are those of the node "". */
export function byNode<E extends { from: End; to: End }>(edges: readonly E[], side: "from" | "to"): Map<string, E[]> {
  const out = new Map<string, E[]>();
  for (const e of edges) {
    const all = out.get(e[side].node);
    if (all) all.push(e);
    else out.set(e[side].node, [e]);
  }
  return out;
}

/** The nodes behind a node, without itself. */
export function downstream(edges: readonly Edge[], node: string): Set<string> {
  const next = byNode(edges, "from");
  const seen = new Set<string>();
  const todo = [node];
  for (let n = todo.pop(); n !== undefined; n = todo.pop()) {
    for (const { to } of next.get(n) ?? []) {
      if (to.node === "" || seen.has(to.node)) continue;
      seen.add(to.node);
      todo.push(to.node);
    }
  }
  seen.delete(node);
  return seen;
}

/** Who holds up a flow: the first reader along blocked edges whose own outputs are not blocked. */
export interface Holder {
  node: string;
  /** The nodes that wait for it, the nearest first. */
  waiting: string[];
  since: number;
}

export function holderOf(edges: readonly Edge[]): Holder | null {
  const blocked = edges.filter((e) => e.state === "blocked");
  if (blocked.length === 0) return null;
  const writers = new Set(blocked.map((e) => e.from.node));
  const last = blocked.find((e) => !writers.has(e.to.node)) ?? blocked[0]!;
  const waiting: string[] = [];
  let since = last.blockedSince;
  let front = [last.to.node];
  const seen = new Set(front);
  while (front.length > 0) {
    const behind = blocked.filter((e) => front.includes(e.to.node) && !seen.has(e.from.node));
    front = [...new Set(behind.map((e) => e.from.node))];
    for (const e of behind) if (e.blockedSince > 0) since = Math.min(since, e.blockedSince);
    front.forEach((n) => seen.add(n));
    waiting.push(...front.filter((n) => n !== ""));
  }
  return { node: nameOf(last.to, "to").replace(/^(?!outputs\.).*$/, last.to.node), waiting, since };
}

/** Nodes in topological order; those in a cycle come last. */
export function ordered(g: Pick<Graph, "nodes" | "edges">): Node[] {
  const nodes = new Map(g.nodes.map((n) => [n.id, n]));
  const inner = g.edges.filter((e) => nodes.has(e.from.node) && nodes.has(e.to.node));
  const next = byNode(inner, "from");
  const waits = new Map<string, number>();
  for (const e of inner) waits.set(e.to.node, (waits.get(e.to.node) ?? 0) + 1);
  const out = g.nodes.filter((n) => !waits.has(n.id));
  for (const n of out) { // grows
    for (const { to } of next.get(n.id) ?? []) {
      const left = waits.get(to.node)! - 1;
      waits.set(to.node, left);
      if (left === 0) out.push(nodes.get(to.node)!);
    }
  }
  const seen = new Set(out);
  return [...out, ...g.nodes.filter((n) => !seen.has(n))];
}

/** What is going on, in one sentence. */
export function sentence(s: FlowStatus, now: number): string {
  const failure = s.failures?.[0];
  if (failure) return (failure.job ? failure.job + ": " : "") + (failure.message ?? failure.kind ?? "");
  if (s.problems?.length) return s.problems[0]!.message;
  if (s.reason) return (s.cancelledBy ? `by ${s.cancelledBy}: ` : "") + s.reason;
  if (s.cancelledBy) return "by " + s.cancelledBy;
  if (s.queued && !ended(stateOf(s))) return queueSentence(s.queued);
  if (s.stalled) {
    return `nothing has moved for ${duration(now - Date.parse(s.stalled.since))}` + (s.stalled.blocking.length > 0 ? `; it waits for ${s.stalled.blocking.join(", ")}` : "");
  }
  return "";
}

/** Why a flow waits for capacity. */
export function queueSentence(q: NonNullable<FlowStatus["queued"]>): string {
  const lacks = (q.shortage ?? []).map((s) => {
    if (s.reason) return s.reason;
    const [holder, unit] = s.what.includes("-") ? s.what.split("-") : ["", s.what];
    const what = `${s.needed} ${s.needed === 1 ? unit!.replace(/s$/, "") : unit}`;
    if (holder) return `${what} within the ${holder}'s limit, ${s.held ?? 0} of ${s.limit} held`;
    return `${what}${s.progdef ? " of " + s.progdef : ""}, ${s.free} of ${s.limit} free`;
  });
  const place = q.place > 0 ? `Place ${q.place}. ` : "";
  return place + (lacks.length > 0 ? (q.place > 0 ? "Needs " : "") + lacks.join("; ") : "");
}
