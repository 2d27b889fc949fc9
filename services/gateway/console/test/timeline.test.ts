import { expect, it } from "vitest";
import { Watch } from "../src/lib/model";
import { timeline } from "../src/lib/timeline";

const status = {
  flow: "f",
  phase: "job.started",
  submitted: "2026-01-01T00:00:00.000Z",
  updated: "",
  jobs: { a: { progdef: "x", revision: "1", state: "done" as const }, b: { progdef: "y", revision: "1", state: "running" as const } },
  edges: [{ from: "a.out", to: "b.in" }],
};
const event = (type: string, ms: number, data: unknown = {}) => ({ type, subject: "f", time: new Date(Date.parse(status.submitted) + ms).toISOString(), seq: ms, data });

it("tells when jobs started and ended, and what came before", () => {
  const events = [event("flow.validated", 2), event("flow.planned", 4), event("flow.spawned", 40), event("job.started", 80, { job: "a" }), event("job.started", 90, { job: "b" }), event("job.done", 500, { job: "a" })];
  const graph = new Watch().graph(status, null, 0);
  const t = timeline(status, graph, events, Date.parse(status.submitted) + 1000);
  expect(t.rows.map((r) => [r.job, r.started, r.ended])).toEqual([["a", 80, 500], ["b", 90, null]]);
  expect(t.before).toBe("Checked after 2 ms, planned after 4 ms, given its slots after 40 ms, its first job started after 80 ms.");
  expect(t.length).toBe(1000);
  const over = timeline(status, graph, [...events, event("flow.cancelled", 700)], 0);
  expect([over.length, over.rows[1]!.ended]).toEqual([700, 700]);
});
