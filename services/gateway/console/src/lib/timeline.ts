// When what has happened in a flow, from its events.

import type { FlowEvent, FlowStatus } from "@dagyo/client";
import { duration } from "./format";
import { ordered, type Graph, type State } from "./model";

export interface Row {
  job: string;
  progdef: string;
  state: State;
  /** Milliseconds since the submission; null for what has not happened. */
  started: number | null;
  ended: number | null;
}

export interface Timeline {
  /** The time of the last thing that has happened, or now, since the submission. */
  length: number;
  /** When the jobs were on their mailboxes. */
  spawned: number | null;
  rows: Row[];
  /** What happened before the first record, in words: too short to draw. */
  before: string;
}

const phases: [string, string][] = [
  ["flow.validated", "checked"],
  ["flow.planned", "planned"],
  ["flow.queued", "queued"],
  ["flow.spawned", "given its slots"],
  ["job.started", "its first job started"],
];

export function timeline(status: FlowStatus, graph: Graph, events: readonly FlowEvent[], now: number): Timeline {
  const began = Date.parse(status.submitted);
  const first = new Map<string, number>();
  const jobs = new Map<string, { started: number | null; ended: number | null }>();
  let end: number | null = null;
  for (const e of events) {
    const at = Math.max(0, Date.parse(e.time) - began);
    if (!first.has(e.type)) first.set(e.type, at);
    if (["flow.completed", "flow.panic", "flow.cancelled"].includes(e.type)) end = at;
    const job = (e.data as { job?: unknown } | undefined)?.job;
    if (typeof job !== "string") continue;
    const j = jobs.get(job) ?? { started: null, ended: null };
    if (e.type === "job.started") j.started ??= at;
    if (e.type === "job.done" || e.type === "job.panic") j.ended ??= at;
    jobs.set(job, j);
  }
  const length = Math.max(1, end ?? now - began);
  const rows = ordered(graph).map((n): Row => {
    const j = jobs.get(n.id);
    const over = j?.ended ?? (end !== null && j?.started != null ? end : null);
    return { job: n.id, progdef: n.progdef, state: n.state, started: j?.started ?? null, ended: over };
  });
  const told = phases.flatMap(([type, word]) => (first.has(type) ? [`${word} after ${duration(first.get(type)!)}`] : []));
  const before = told.length > 0 ? told.join(", ") : "";
  return { length, spawned: first.get("flow.spawned") ?? null, rows, before: before && before[0]!.toUpperCase() + before.slice(1) + "." };
}
