#!/usr/bin/env node
// dagyo-types: writes the ports of the catalogue's progdefs as TypeScript.

import { Dagyo } from "./node.js";
import { toTypeScript } from "./types.js";

const usage = `Usage: dagyo-types > progdefs.ts

Write the ports of all progdefs in the catalogue as TypeScript, for the class Flow of
@dagyo/client. The gateway is that of DAGYO_HTTP_URL, with the token in
DAGYO_HTTP_TOKEN, or else that of the running "dagyo up" of this user.
`;

const args = process.argv.slice(2);
if (args.length > 0) {
  const help = args[0] === "--help" || args[0] === "-h";
  (help ? process.stdout : process.stderr).write(help ? usage : `dagyo-types: unexpected argument ${args[0]}\n${usage}`);
  process.exitCode = help ? 0 : 2;
} else {
  try {
    process.stdout.write(toTypeScript(await new Dagyo().progdefs()));
  } catch (e) {
    process.stderr.write(`dagyo-types: ${e instanceof Error ? e.message : e}\n`);
    process.exitCode = 1;
  }
}
