// How many flows finished in each of the last minutes, from a list of flows. Pure.

import type { FlowLine } from "@dagyo/client";
import { goDuration } from "./format";
import { ended, stateOf } from "./model";

export interface Finished {
  /** The beginnings of the minutes, in seconds. */
  at: number[];
  all: number[];
  panicked: number[];
}

/** The flows that finished in the minutes before now. The minute of now is not over, and not among them. */
export function finishedPerMinute(flows: readonly FlowLine[], now: number, minutes: number): Finished {
  const end = Math.floor(now / 60_000);
  const out: Finished = { at: Array.from({ length: minutes }, (_, i) => (end - minutes + i) * 60), all: Array(minutes).fill(0), panicked: Array(minutes).fill(0) };
  for (const f of flows) {
    const s = stateOf(f);
    if (!ended(s) || !f.submitted) continue;
    const i = Math.floor((Date.parse(f.submitted) + (f.duration ? goDuration(f.duration) : 0)) / 60_000) - (end - minutes);
    if (i < 0 || i >= minutes) continue;
    out.all[i]!++;
    if (s === "panicked") out.panicked[i]!++;
  }
  return out;
}
