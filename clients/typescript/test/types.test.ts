// The builder of flows, and what the compiler says.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import ts from "typescript";
import { Flow } from "@dagyo/client";
import { compile, root } from "./compile.js";
import { start, type Running } from "./dagyo.js";
import { progdefs } from "./progdefs.js";

const run = promisify(execFile);

let running: Running;
before(async () => {
  running = await start();
});
after(() => running.stop());

/** Runs dagyo-types. */
async function generate(...args: string[]) {
  return run(process.execPath, [join(root, "dist/bin.js"), ...args], { env: running.env }).catch((e) => e as { code: number; stdout: string; stderr: string });
}

test("dagyo-types writes the catalogue", async () => {
  const { stdout } = await generate();
  const path = join(root, "test/progdefs.ts");
  if (process.env.UPDATE) writeFileSync(path, stdout);
  assert.equal(stdout, readFileSync(path, "utf8"), "test/progdefs.ts is not that of the standard progdefs: run the test with UPDATE=1");
});

test("dagyo-types survives hostile descriptions", async () => {
  const description = '*/ ${process.exit(1)} "`\n// </script> */ export const pwned = 1; /*';
  await running.client.publishProgdef({ name: "default", description, inputs: { constructor: "my-type" }, outputs: {}, command: ["true"] });
  const { stdout } = await generate();
  await running.client.removeProgdef("default");
  const { outputText, diagnostics } = ts.transpileModule(stdout, { reportDiagnostics: true, compilerOptions: { module: ts.ModuleKind.ESNext } });
  assert.deepEqual(diagnostics, []);
  const loaded = await import("data:text/javascript," + encodeURIComponent(outputText));
  assert.deepEqual(Object.keys(loaded), ["progdefs"]);
  assert.deepEqual(loaded.progdefs.default, { name: "default", inputs: { constructor: "my-type" }, outputs: {} });
});

test("dagyo-types says what is wrong", async () => {
  assert.match((await generate("--help")).stdout, /^Usage: dagyo-types > progdefs.ts/);
  const wrong = await generate("greet");
  assert.match(wrong.stderr, /unexpected argument greet/);
  running.env.DAGYO_HTTP_URL = "http://127.0.0.1:1";
  const lost = await generate();
  delete running.env.DAGYO_HTTP_URL;
  assert.match(lost.stderr, /^dagyo-types: the gateway at http:\/\/127.0.0.1:1 does not answer/);
});

test("a built flow runs", async () => {
  const flow = new Flow();
  const numbers = flow.constant("numbers", "json", [{ n: 1 }, { n: 2 }]);
  const copies = flow.node("copies", progdefs.tee, { inputs: { in: numbers } });
  const next = flow.node("next", progdefs.jq, { inputs: { in: copies.out.a }, with: { filter: [".n + 1"] } });
  const hello = flow.node("hello", progdefs.greet);
  const pairs = flow.node("pairs", progdefs.zip, { inputs: { a: next.out.out, b: copies.out.b } });
  const document = flow.build({ inputs: { names: hello.in.name }, outputs: { greetings: hello.out.greeting, pairs: pairs.out.pair } });
  const { outputs } = await running.client.run(document, { inputs: { names: ["Ada"] } });
  const greetings: string[] = outputs.greetings;
  const values: unknown[][] = outputs.pairs;
  assert.deepEqual([greetings, values], [["hello Ada"], [[2, { n: 1 }], [3, { n: 2 }]]]);
  assert.throws(() => flow.node("hello", progdefs.greet), /two nodes with the name hello/);
});

test("constants are encoded by their typenames", () => {
  const flow = new Flow();
  flow.constant("results", "Result<json>", [{ value: 1 }, { error: "e" }]);
  flow.node("first", progdefs.head, { with: { n: [3] } });
  flow.node("both", progdefs.merge, { types: { T: "list<utf8-string>" }, with: { a: [["x"]], b: [] } });
  assert.deepEqual(flow.build().nodes, {
    results: { const: { type: "Result<json>", values: [{ base64: "ADE=" }, { base64: "AWU=" }] } },
    first: { progdef: "head", with: { n: ["3"] } },
    both: { progdef: "merge", types: { T: "list<utf8-string>" }, with: { a: [{ base64: "AXg=" }], b: [] } },
  });
});

/** Returns the compiler's messages about a program that builds a flow. */
function problems(program: string): string[] {
  const intro = 'import { Flow } from "@dagyo/client";\nimport { progdefs } from "./progdefs.js";\nconst flow = new Flow();\n';
  return compile("mismatch", { "program.ts": intro + program }).messages;
}

test("a connection of ports that do not fit is a compile error", () => {
  assert.deepEqual(problems(`flow.connect(flow.node("a", progdefs.source).out.name, flow.node("b", progdefs.greet).in.name);`), []);
  const errors = problems(`flow.connect(flow.node("a", progdefs.count).out.count, flow.node("b", progdefs.greet).in.name);`);
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /type mismatch: json does not fit utf8-string/);
});
