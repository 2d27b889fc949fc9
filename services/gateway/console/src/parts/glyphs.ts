// The shapes of states, 14 by 14: for SVG and for a canvas.

import type { State } from "../lib/model";

export interface Shape {
  fill?: string;
  line?: string;
  /** What is cut out of the filled shape. */
  ground?: string;
  width?: number;
  dash?: readonly number[];
}

const ring = (r: number) => `M${7 - r} 7a${r} ${r} 0 1 1 ${2 * r} 0a${r} ${r} 0 1 1 ${-2 * r} 0Z`;
const dotted: Shape = { line: ring(5), dash: [1.6, 2.3] };
const ticked: Shape = { fill: ring(6), ground: "m4.2 7.1 2 2 3.6-4" };

export const glyphs: Record<State | "problem", Shape> = {
  checking: dotted,
  waiting: dotted,
  queued: { line: ring(5.2) + "M7 4v3l2 1.4" },
  starting: { line: ring(5.2), fill: "M7 7V1.8A5.2 5.2 0 0 1 12.2 7Z" },
  running: { fill: "M3 1.8 12 7l-9 5.2Z" },
  blocked: { fill: "M3 2h3v10H3zM8 2h3v10H8z" },
  completed: ticked,
  done: ticked,
  panicked: { fill: "M7 .4 13.6 7 7 13.6.4 7Z", ground: "M7 3.8v3.6M7 9v1.4" },
  rejected: { line: "M7 1.2 12.8 7 7 12.8 1.2 7Zm-1.6 4.2 3.2 3.2m0-3.2L5.4 8.6", width: 1.3 },
  cancelled: { line: "M2 2h10v10H2zM2 12 12 2", width: 1.3 },
  stopped: { fill: "M2 2h10v10H2z" },
  problem: { fill: "M7 1 13.4 12.6H.6Z", ground: "M7 5v3.6M7 9.8v1.4" },
};

/** The colours of the shapes, as custom properties; others have that of the text around them. */
export const hues: Partial<Record<State | "problem", string>> = {
  running: "--run-mark",
  starting: "--run-mark",
  panicked: "--fail-mark",
  rejected: "--fail-mark",
  problem: "--fail-mark",
  completed: "--done-mark",
  done: "--done-mark",
  blocked: "--block-mark",
  stopped: "--off-mark",
};
