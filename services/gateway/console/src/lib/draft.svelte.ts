// A flow that is being composed: its YAML text is what counts, and everything on the canvas changes that text, so that
// comments and order stay. Every change can be undone.

import { Document, LineCounter, isMap, isNode, isScalar, parseDocument, type Node as YamlNode } from "yaml";
import type { Problem } from "@dagyo/client";
import type { FlowDocument } from "./document";
import type { Point } from "./layout";

const key = "dagyo.draft";
const mostUndo = 200;
const mostText = 1 << 20;

interface Snapshot {
  text: string;
  at: Record<string, Point>;
}

export interface TextProblem {
  from: number;
  to: number;
  message: string;
}

/** The name of an end in a document: `node.port`, or a name of the flow's own. */
export type Side = "input" | "output";

export class Draft {
  text = $state("");
  at = $state.raw<Record<string, Point>>({});
  /** The document as it is written, to be validated and submitted, and what the canvas shows of it. */
  value = $state.raw<unknown>({});
  flow = $state.raw<FlowDocument>({ nodes: {} });
  /** What keeps the text from being a document. The canvas shows the last one that was. */
  broken = $state.raw<TextProblem[]>([]);
  private yaml = new Document();
  private undone: Snapshot[] = [];
  private done: Snapshot[] = [];

  constructor(text: string, at: Record<string, Point> = {}) {
    this.at = at;
    this.read(text);
  }

  static stored(): Draft | null {
    try {
      const s = JSON.parse(localStorage.getItem(key) ?? "null") as Snapshot | null;
      return s && typeof s.text === "string" ? new Draft(s.text, s.at) : null;
    } catch {
      return null;
    }
  }

  store(): void {
    localStorage.setItem(key, JSON.stringify({ text: this.text, at: this.at }));
  }

  /** Takes a text over. */
  private read(text: string): void {
    this.text = text;
    const lines = new LineCounter();
    const yaml = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
    this.broken = yaml.errors.map((e) => ({ from: e.pos[0], to: Math.max(e.pos[1], e.pos[0] + 1), message: e.message.split("\n")[0]! }));
    if (text.length > mostText) this.broken = [{ from: 0, to: 1, message: "The document is larger than 1 MiB: the composer cannot show it." }];
    if (this.broken.length > 0) return;
    let flow: unknown = null;
    try {
      flow = yaml.toJS({ maxAliasCount: 100 });
    } catch (e) {
      this.broken = [{ from: 0, to: 1, message: String(e) }];
      return;
    }
    if (flow !== null && (typeof flow !== "object" || Array.isArray(flow))) {
      this.broken = [{ from: 0, to: text.length, message: "A flow is a mapping with nodes and edges." }];
      return;
    }
    this.yaml = yaml;
    this.value = flow ?? {};
    this.flow = tidy(flow ?? {});
  }

  private remember(): void {
    this.done = [...this.done.slice(-mostUndo + 1), { text: this.text, at: this.at }];
    this.undone = [];
  }

  /** Replaces the text, as typed. */
  type(text: string): void {
    if (text === this.text) return;
    this.remember();
    this.read(text);
  }

  /** Changes the document, and the text with it. */
  private change(how: (y: Document) => void, at = this.at): void {
    if (this.broken.length > 0) return;
    this.remember();
    how(this.yaml);
    this.at = at;
    this.read(this.yaml.toString({ lineWidth: 120, flowCollectionPadding: false }));
  }

  undo(): void {
    const s = this.done.pop();
    if (!s) return;
    this.undone.push({ text: this.text, at: this.at });
    this.at = s.at;
    this.read(s.text);
  }

  redo(): void {
    const s = this.undone.pop();
    if (!s) return;
    this.done.push({ text: this.text, at: this.at });
    this.at = s.at;
    this.read(s.text);
  }

  get canUndo(): boolean {
    void this.text;
    return this.done.length > 0;
  }

  move(at: Record<string, Point>): void {
    this.remember();
    this.at = { ...this.at, ...at };
  }

  /** A name like the wanted one that no node has. */
  free(wanted: string, taken: object = this.flow.nodes): string {
    let name = wanted;
    for (let i = 2; Object.hasOwn(taken, name); i++) name = `${wanted}-${i}`;
    return name;
  }

  /** Adds a node, and returns its name. */
  add(progdef: string, at: Point): string {
    const id = this.free(progdef);
    this.change((y) => this.put(y, ["nodes", id], { progdef }), { ...this.at, [id]: at });
    return id;
  }

  /** Sets a value, and makes the maps on the way to it. */
  private put(y: Document, path: string[], value: unknown): void {
    if (!isMap(y.contents)) y.contents = y.createNode({}) as never;
    for (let i = 1; i < path.length; i++) {
      const here = path.slice(0, i);
      if (!isMap(y.getIn(here))) y.setIn(here, y.createNode({}));
    }
    const node = y.createNode(value);
    if (isMap(node) || Array.isArray(value)) (node as { flow?: boolean }).flow = path.length > 1;
    y.setIn(path, node);
    const parent = y.getIn(path.slice(0, -1));
    if (isMap(parent) && path.length === 2) parent.flow = false;
  }

  connect(from: string, to: string): void {
    this.change((y) => this.link(y, from, to));
  }

  private link(y: Document, from: string, to: string): void {
    const edges = y.get("edges");
    const e = y.createNode({ from, to }) as unknown as { flow: boolean };
    e.flow = true;
    if (edges && typeof edges === "object" && "add" in edges) {
      (edges as { flow?: boolean }).flow = false;
      (edges as { add(x: unknown): void }).add(e);
    } else {
      const all = y.createNode([]) as unknown as { add(x: unknown): void; flow?: boolean };
      all.add(e);
      y.set("edges", all);
    }
  }

  /** Puts a node into an edge. */
  insert(edge: number, progdef: string, input: string, output: string, at: Point): string {
    const id = this.free(progdef);
    const e = this.flow.edges?.[edge];
    if (!e) return "";
    this.change(
      (y) => {
        this.put(y, ["nodes", id], { progdef });
        y.setIn(["edges", edge, "to"], `${id}.${input}`);
        this.link(y, `${id}.${output}`, e.to);
      },
      { ...this.at, [id]: at },
    );
    return id;
  }

  /** The places in the document that read an output, or write into an input. */
  private users(end: string, side: Side): (string | number)[][] {
    const [key, list] = side === "output" ? (["from", "outputs"] as const) : (["to", "inputs"] as const);
    const edges = (this.flow.edges ?? []).flatMap((e, i) => (e[key] === end ? [["edges", i, key]] : []));
    const own = Object.entries(this.flow[list] ?? {}).flatMap(([name, e]) => (e === end ? [[list, name]] : []));
    return [...edges, ...own];
  }

  /** Puts a `tee` behind an output with two readers, or a `merge` before an input with two writers. */
  share(end: string, side: Side, at: Point): string {
    const [first, second] = this.users(end, side);
    if (!first || !second) return "";
    const id = this.free(side === "output" ? "tee" : "merge");
    this.change(
      (y) => {
        this.put(y, ["nodes", id], { progdef: side === "output" ? "tee" : "merge" });
        y.setIn(first, `${id}.a`);
        y.setIn(second, `${id}.b`);
        if (side === "output") this.link(y, end, `${id}.in`);
        else this.link(y, `${id}.out`, end);
      },
      { ...this.at, [id]: at },
    );
    return id;
  }

  /** Makes a port one of the flow's own inputs or outputs, under the port's name. */
  expose(side: Side, end: string): void {
    const list = side === "input" ? "inputs" : "outputs";
    const port = end.split(".")[1] ?? "";
    const name = this.free(port, this.flow[list] ?? {});
    this.change((y) => this.put(y, [list, name], end));
  }

  /** Sets the constant records of an input; null removes them. */
  set(node: string, port: string, values: unknown[] | null): void {
    this.change((y) => {
      if (values) this.put(y, ["nodes", node, "with", port], values);
      else {
        y.deleteIn(["nodes", node, "with", port]);
        const w = y.getIn(["nodes", node, "with"]);
        if (isMap(w) && w.items.length === 0) y.deleteIn(["nodes", node, "with"]);
      }
    });
  }

  rename(from: string, to: string): void {
    const moved = { ...this.at };
    if (moved[from]) moved[to] = moved[from];
    this.change((y) => {
      const nodes = y.get("nodes");
      if (isMap(nodes)) {
        for (const pair of nodes.items) {
          if (isScalar(pair.key) ? pair.key.value === from : pair.key === from) pair.key = y.createNode(to);
        }
      }
      this.ends(y, (end) => (end.startsWith(from + ".") ? to + end.slice(from.length) : end));
    }, moved);
  }

  /** Rewrites all ends; "" removes the edge, input or output. */
  private ends(y: Document, how: (end: string) => string): void {
    const edges = this.flow.edges ?? [];
    for (let i = edges.length - 1; i >= 0; i--) {
      const from = how(edges[i]!.from ?? "");
      const to = how(edges[i]!.to ?? "");
      if (from === "" || to === "") y.deleteIn(["edges", i]);
      else {
        if (from !== edges[i]!.from) y.setIn(["edges", i, "from"], from);
        if (to !== edges[i]!.to) y.setIn(["edges", i, "to"], to);
      }
    }
    for (const list of ["inputs", "outputs"] as const) {
      for (const [name, end] of Object.entries(this.flow[list] ?? {})) {
        const now = how(end);
        if (now === "") y.deleteIn([list, name]);
        else if (now !== end) y.setIn([list, name], now);
      }
    }
  }

  /** Removes nodes with their edges, and edges. `inputs.x` and `outputs.x` are the flow's own. */
  remove(nodes: readonly string[], edges: readonly string[] = []): void {
    const numbers = edges.filter((e) => e.startsWith("edge.")).map((e) => Number(e.slice(5)));
    this.change((y) => {
      for (const id of nodes) {
        const own = /^(inputs|outputs)\.(.*)$/.exec(id);
        if (own && !Object.hasOwn(this.flow.nodes, id)) y.deleteIn([own[1], own[2]]);
      }
      for (const e of edges) {
        const own = /^(inputs|outputs)\.(.*)$/.exec(e);
        if (own) y.deleteIn([own[1], own[2]]);
      }
      const gone = nodes.filter((n) => Object.hasOwn(this.flow.nodes, n));
      const before = this.flow.edges ?? [];
      for (let i = before.length - 1; i >= 0; i--) {
        const touches = gone.some((n) => before[i]!.from?.startsWith(n + ".") || before[i]!.to?.startsWith(n + "."));
        if (touches || numbers.includes(i)) y.deleteIn(["edges", i]);
      }
      for (const list of ["inputs", "outputs"] as const) {
        for (const [name, end] of Object.entries(this.flow[list] ?? {})) {
          if (gone.some((n) => end.startsWith(n + "."))) y.deleteIn([list, name]);
        }
      }
      for (const n of gone) y.deleteIn(["nodes", n]);
    });
  }

  /** Adds the nodes of another document, and the edges between them, under free names. It returns the names. */
  paste(text: string, names: readonly string[] | null, offset: number): string[] {
    const other = new Draft(text, this.at);
    if (other.broken.length > 0) return [];
    const chosen = Object.keys(other.flow.nodes).filter((n) => names === null || names.includes(n));
    if (chosen.length === 0) return [];
    const taken: Record<string, unknown> = { ...this.flow.nodes };
    const as = new Map<string, string>();
    const at = { ...this.at };
    for (const n of chosen) {
      const name = this.free(n, taken);
      taken[name] = true;
      as.set(n, name);
      const here = other.at[n] ?? { x: 0, y: 0 };
      at[name] = { x: here.x + offset, y: here.y + offset };
    }
    const renamed = (end: string): string => {
      const dot = end.lastIndexOf(".");
      const node = as.get(end.slice(0, dot));
      return node === undefined ? "" : node + end.slice(dot);
    };
    this.change((y) => {
      for (const [n, name] of as) this.put(y, ["nodes", name], (other.value as { nodes: Record<string, unknown> }).nodes[n]);
      for (const e of other.flow.edges ?? []) {
        const from = renamed(e.from ?? "");
        const to = renamed(e.to ?? "");
        if (from !== "" && to !== "") this.link(y, from, to);
      }
    }, at);
    return [...as.values()];
  }

  /** The place of a JSON pointer in the text. */
  place(pointer: string): { from: number; to: number } {
    const path = pointer.split("/").slice(1).map((p) => p.replaceAll("~1", "/").replaceAll("~0", "~"));
    for (let n = path.length; n > 0; n--) {
      const keys = path.slice(0, n).map((p) => (/^\d+$/.test(p) ? Number(p) : p));
      const found = this.yaml.getIn(keys, true);
      if (isNode(found) && found.range) {
        const from = n === path.length ? found.range[0] : (found as YamlNode).range![0];
        return { from, to: Math.max(found.range[1], from + 1) };
      }
    }
    return { from: 0, to: Math.min(1, this.text.length) };
  }
}

/** What the canvas can show of a document, whatever is wrong with it: the validator says what that is. */
function tidy(flow: object): FlowDocument {
  const f = flow as Record<string, unknown>;
  const record = (x: unknown): Record<string, unknown> => (x !== null && typeof x === "object" && !Array.isArray(x) ? (x as Record<string, unknown>) : {});
  const text = (x: unknown): string => (typeof x === "string" ? x : "");
  const out: FlowDocument = { ...f, nodes: {} };
  for (const [id, n] of Object.entries(record(f.nodes))) {
    const node = record(n);
    out.nodes[id] = { progdef: text(node.progdef) };
    if (node.const !== undefined) out.nodes[id]!.const = { type: text(record(node.const).type) };
    if (node.with !== undefined) out.nodes[id]!.with = record(node.with) as Record<string, unknown[]>;
    if (node.types !== undefined) out.nodes[id]!.types = record(node.types) as Record<string, string>;
  }
  if (f.edges !== undefined) {
    const list = Array.isArray(f.edges) ? f.edges : [];
    out.edges = list.map((e) => ({ from: text(record(e).from), to: text(record(e).to) }));
  }
  for (const list of ["inputs", "outputs"] as const) {
    if (f[list] !== undefined) out[list] = Object.fromEntries(Object.entries(record(f[list])).map(([k, v]) => [k, text(v)]));
  }
  return out;
}

/** A problem at its place on the canvas: a node, an edge (`edge.3`) or an own end (`inputs.x`), and perhaps a port. */
export function placeOf(p: Problem): { id: string; port: string } {
  const [, part, name = ""] = p.pointer.split("/");
  if (part === "edges") return { id: "edge." + name, port: "" };
  if (part === "inputs" || part === "outputs") return { id: `${part}.${name}`, port: "" };
  if (part === "nodes") {
    const named = new RegExp(`\\b${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\.([\\w-]+)`).exec(p.message);
    return { id: name, port: named?.[1] ?? "" };
  }
  return { id: "", port: "" };
}

/** Open ports are not yet connected; they are counted apart from problems. */
export function isOpenPort(p: Problem): boolean {
  return p.code === "no-source" || p.code === "no-sink";
}
