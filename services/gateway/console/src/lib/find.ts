// Finding nodes of a flow by what is typed. Pure.

import { words, type Node } from "./model";

/** The nodes whose names, progdefs or states have every word of text; those whose names begin with it come first. */
export function find(nodes: readonly Node[], text: string): Node[] {
  const wanted = text.toLowerCase().split(/\s+/).filter((w) => w !== "");
  if (wanted.length === 0) return [];
  const found = nodes.filter((n) => {
    const about = `${n.id} ${n.progdef} ${words[n.state]}`.toLowerCase();
    return wanted.every((w) => about.includes(w));
  });
  const first = (n: Node) => (n.id.toLowerCase() === wanted[0] ? 0 : n.id.toLowerCase().startsWith(wanted[0]!) ? 1 : 2);
  return found.map((n): [number, Node] => [first(n), n]).sort(([a], [b]) => a - b).map(([, n]) => n);
}
