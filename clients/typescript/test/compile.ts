// Compiles programs that tests make.

import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

/** The folder of the package. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Compiles programs beside progdefs.ts, and returns the compiler's messages. */
export function compile(name: string, programs: Record<string, string>): { dir: string; messages: string[] } {
  const dir = join(root, "build", name);
  mkdirSync(dir, { recursive: true });
  copyFileSync(join(root, "test/progdefs.ts"), join(dir, "progdefs.ts"));
  for (const [file, source] of Object.entries(programs)) writeFileSync(join(dir, file), source);
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const files = Object.keys(programs).map((file) => join(dir, file));
  const program = ts.createProgram(files, { ...options, declaration: false, rootDir: dir, outDir: dir });
  const { diagnostics } = program.emit();
  const messages = [...ts.getPreEmitDiagnostics(program), ...diagnostics].map((d) => ts.flattenDiagnosticMessageText(d.messageText, "\n"));
  return { dir, messages };
}
