// The examples of the README: each block of TypeScript is compiled and run, and prints the block of text behind it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { compile, root } from "./compile.js";
import { start, type Running } from "./dagyo.js";

const run = promisify(execFile);

let running: Running;
before(async () => {
  running = await start();
});
after(() => running.stop());

test("the examples of the README run", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const examples = [...readme.matchAll(/```ts\n(.*?)```\n(?:```text\n(.*?)```)?/gs)];
  assert.ok(examples.length > 3, `${examples.length} examples`);
  const { dir, messages } = compile("readme", Object.fromEntries(examples.map(([, program], i) => [`${i}.ts`, program!])));
  assert.deepEqual(messages, []);
  for (const [i, [, program, output = ""]] of examples.entries()) {
    const { stdout } = await run(process.execPath, [join(dir, `${i}.js`)], { env: running.env });
    assert.equal(stdout, output, program);
  }
});
