// The TypeScript source of a catalogue, for the builder of flows.

import type { Progdef, Published } from "./model.js";

/** Returns a module with the ports of all progdefs. */
export function toTypeScript(catalogue: readonly Published[]): string {
  const sorted = catalogue.map((p) => p.document).sort((a, b) => (a.name < b.name ? -1 : 1));
  return `// Written by dagyo-types from the catalogue. Do not edit.\n\nexport const progdefs = {\n${sorted.map(entry).join("")}} as const;\n`;
}

function entry(p: Progdef): string {
  const params = p.typeParams?.length ? `    typeParams: ${JSON.stringify(p.typeParams)},\n` : "";
  return (
    `${comment(p.description)}  ${JSON.stringify(p.name)}: {\n    name: ${JSON.stringify(p.name)},\n${params}` +
    `    inputs: ${ports(p.inputs)},\n    outputs: ${ports(p.outputs)},\n  },\n`
  );
}

function ports(all: Progdef["inputs"] = {}): string {
  const fields = Object.entries(all).map(([name, p]) => `${JSON.stringify(name)}: ${JSON.stringify(typeof p === "string" ? p : p.type)}`);
  return fields.length > 0 ? `{ ${fields.join(", ")} }` : "{}";
}

/** Returns a description as a comment that it cannot end. */
function comment(description = ""): string {
  const text = description.replaceAll("*/", "*\\/").replace(/\s+/g, " ").trim();
  return text === "" ? "" : `  /** ${text} */\n`;
}
