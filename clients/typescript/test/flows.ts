// Flows that several tests run.

import type { TypedFlow } from "@dagyo/client";

export const greet: TypedFlow<{ names: "utf8-string" }, { greetings: "utf8-string" }> = {
  nodes: { hello: { progdef: "greet" } },
  inputs: { names: "hello.name" },
  outputs: { greetings: "hello.greeting" },
};

/** Copies records of any typename. */
export function copy<const T extends string>(type: T): TypedFlow<{ in: T }, { a: T; b: T }> {
  return {
    nodes: { both: { progdef: "tee", types: { T: type } } },
    inputs: { in: "both.in" },
    outputs: { a: "both.a", b: "both.b" },
  };
}

/** Ends when its input ends, and drops what it reads. */
export function drop<const T extends string>(type: T): TypedFlow<{ in: T }, {}> {
  return { nodes: { end: { progdef: "void_sink", types: { T: type } } }, inputs: { in: "end.in" } };
}

/** Writes 0, 1, 2, … endlessly. */
export const numbers: TypedFlow<{}, { number: "json" }> = { nodes: { n: { progdef: "counter" } }, outputs: { number: "n.number" } };

/** Panics at the first error. */
export const assertion: TypedFlow<{ in: "Result<utf8-string>" }, { out: "utf8-string" }> = {
  nodes: { check: { progdef: "assert", types: { T: "utf8-string" } } },
  inputs: { in: "check.in" },
  outputs: { out: "check.out" },
};
