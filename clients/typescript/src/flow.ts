// A builder of flow documents that knows the types of ports, so that the compiler checks connections.

import type { FlowDocument, FlowNode, Value } from "./model.js";
import { toValue, type RecordOf } from "./records.js";

/** The ports of a progdef, with their typenames. `npx dagyo-types` writes those of a catalogue. */
export interface Ports {
  readonly name: string;
  readonly typeParams?: readonly string[];
  readonly inputs: { readonly [port: string]: string };
  readonly outputs: { readonly [port: string]: string };
}

/** An output port of a node. `T` is its typename, or `string` where the flow has not determined it yet. */
export interface Out<T extends string> {
  readonly side: "output";
  /** `node.port` */
  readonly ref: string;
  /** The typename as the progdef declares it. */
  readonly type: T;
}

/** An input port of a node. */
export interface In<T extends string> {
  readonly side: "input";
  /** `node.port` */
  readonly ref: string;
  /** The typename as the progdef declares it. */
  readonly type: T;
}

/** Typenames by the names of inputs or outputs. */
export type Ends = Record<string, string>;

declare const ends: unique symbol;

/** A flow document whose inputs `I` and outputs `O` have known typenames. Every flow document is one, with unknown ones. */
export interface TypedFlow<I extends Ends = Ends, O extends Ends = Ends> extends FlowDocument {
  readonly [ends]?: { inputs: I; outputs: O };
}

/** The type parameters of a progdef. */
type Params<P extends Ports> = P["typeParams"] extends readonly (infer V extends string)[] ? V : never;

/** A typename in which type parameters are replaced. */
type Subst<T extends string, B> = T extends keyof B
  ? B[T] & string
  : T extends `${infer N}<${infer A}>`
    ? A extends `${string},${string}`
      ? `${N}<${string}>` // only Dagyo checks types with several arguments
      : `${N}<${Subst<A, B>}>`
    : T;

/** What a type parameter V stands for if a port of typename T is connected to one of typename F. */
type Solve<T extends string, F extends string, V extends string> = T extends V
  ? F
  : T extends `${infer N}<${infer A}>`
    ? F extends `${N}<${infer X}>`
      ? Solve<A, X, V>
      : never
    : never;

type TypeOf<P> = P extends { readonly type: infer T extends string } ? T : never;

/** What the connected inputs C say about the type parameter V; never if they say nothing. */
type Solved<P extends Ports, C, V extends string> = {
  [K in keyof C & keyof P["inputs"]]: Solve<P["inputs"][K], TypeOf<C[K]>, V>;
}[keyof C & keyof P["inputs"]];

/** The type parameters of a node: as given, or else as inferred from its connected inputs. */
type Bindings<P extends Ports, G, C> = {
  [V in Params<P>]: V extends keyof G ? G[V] : [Solved<P, C, V>] extends [never] ? string : Solved<P, C, V>;
};

type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never;

/** Whether a port of typename F can be connected to one of typename T. Several candidates for T contradict each other. */
type Fits<F extends string, T extends string> =
  IsUnion<T> extends true ? false : [F] extends [T] ? true : [T] extends [F] ? true : false;

type Mismatch<F extends string, T extends string> = `type mismatch: ${F} does not fit ${T}`;

type CheckedInputs<P extends Ports, G, C> = {
  [K in keyof C]: K extends keyof P["inputs"]
    ? Fits<TypeOf<C[K]>, Subst<P["inputs"][K], Bindings<P, G, C>>> extends true
      ? C[K]
      : Mismatch<TypeOf<C[K]>, Subst<P["inputs"][K], Bindings<P, G, C>>>
    : `${P["name"]} has no input ${K & string}`;
};

/** A use of a progdef in a flow. */
export interface Node<P extends Ports = Ports, B = {}> {
  readonly name: string;
  /** The input ports. The first record at `stop`, of any typename, stops the node. */
  readonly in: { readonly [K in keyof P["inputs"]]: In<Subst<P["inputs"][K], B>> } & { readonly stop: In<string> };
  /** The output ports. `panic` has a record if the node panics; it need not be connected. */
  readonly out: { readonly [K in keyof P["outputs"]]: Out<Subst<P["outputs"][K], B>> } & { readonly panic: Out<"json"> };
}

export interface NodeOptions<P extends Ports, G, C> {
  /** Typenames for type parameters that the connections do not determine. */
  types?: G;
  /** Outputs of other nodes to connect to the inputs. They determine type parameters. */
  inputs?: C & CheckedInputs<P, G, C>;
  /** Constant records for inputs. */
  with?: { [K in keyof P["inputs"]]?: readonly RecordOf<Subst<P["inputs"][K], Bindings<P, G, {}>>>[] };
}

/** Builds a flow document. Connections whose typenames differ are compile errors. */
export class Flow {
  readonly #nodes = new Map<string, FlowNode>();
  readonly #edges: { from: string; to: string }[] = [];

  /** Adds a node. */
  node<
    const P extends Ports,
    const G extends { readonly [V in Params<P>]?: string } = {},
    const C extends { readonly [K in keyof P["inputs"]]?: Out<string> } = {},
  >(name: string, progdef: P, options: NodeOptions<P, G, C> = {}): Node<P, Bindings<P, G, C>> {
    const types = (options.types ?? {}) as Record<string, string>;
    const node: FlowNode = { progdef: progdef.name };
    if (options.types) node.types = types;
    if (options.with) {
      node.with = {};
      for (const [port, records] of Object.entries<readonly unknown[] | undefined>(options.with)) {
        const typename = substitute(progdef.inputs[port] ?? "", types);
        node.with[port] = (records ?? []).map((r) => toValue(typename, r));
      }
    }
    this.#add(name, node);
    const out = ports("output", name, { ...progdef.outputs, panic: "json" });
    const added = { name, in: ports("input", name, { ...progdef.inputs, stop: "" }), out } as unknown as Node<P, Bindings<P, G, C>>;
    for (const [port, from] of Object.entries<Out<string>>((options.inputs ?? {}) as Record<string, Out<string>>)) {
      this.#edges.push({ from: from.ref, to: `${name}.${port}` });
    }
    return added;
  }

  /** Adds a stream of constant records. */
  constant<const T extends string>(name: string, type: T, records: readonly RecordOf<T>[]): Out<T> {
    this.#add(name, { const: { type, values: records.map((r): Value => toValue(type, r)) } });
    return { side: "output", ref: `${name}.out`, type };
  }

  /** Connects an output of a node to an input of another one. */
  connect<F extends string, T extends string>(from: Out<F>, to: In<T> & (Fits<F, T> extends true ? unknown : Mismatch<F, T>)): void {
    this.#edges.push({ from: from.ref, to: (to as In<T>).ref });
  }

  /** Returns the document, with the flow's own inputs and outputs. */
  build<const I extends Record<string, In<string>> = {}, const O extends Record<string, Out<string>> = {}>(
    own: { inputs?: I; outputs?: O; deadline?: string; priority?: number } = {},
  ): TypedFlow<{ [K in keyof I]: TypeOf<I[K]> }, { [K in keyof O]: TypeOf<O[K]> }> {
    const { inputs, outputs, ...rest } = own;
    return { nodes: Object.fromEntries(this.#nodes), edges: [...this.#edges], inputs: refs(inputs), outputs: refs(outputs), ...rest };
  }

  #add(name: string, node: FlowNode): void {
    if (this.#nodes.has(name)) throw new TypeError(`the flow has two nodes with the name ${name}: give each a name of its own`);
    this.#nodes.set(name, node);
  }
}

function refs(ends: Record<string, { ref: string }> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(ends).map(([name, port]) => [name, port.ref]));
}

function ports(side: "input" | "output", node: string, types: Record<string, string>) {
  return Object.fromEntries(Object.entries(types).map(([port, type]) => [port, { side, ref: `${node}.${port}`, type }]));
}

/** Replaces the type parameters in a typename. */
function substitute(typename: string, types: Record<string, string>): string {
  return typename.replace(/[A-Z][A-Za-z0-9]*(?![A-Za-z0-9_<-])/g, (name) => types[name] ?? name);
}
