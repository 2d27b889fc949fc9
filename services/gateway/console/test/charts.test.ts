import { expect, test } from "vitest";
import { finishedPerMinute } from "../src/lib/finished";
import { History } from "../src/lib/history";
import type { Edge, Graph } from "../src/lib/model";

test("flows are counted in the minute in which they finished", () => {
  const now = Date.parse("2026-12-01T10:03:30Z");
  const line = (submitted: string, duration: string, verdict?: string) => ({ flow: "f", phase: verdict ?? "job.started", submitted, duration, ...(verdict && { verdict }) }) as never;
  const f = finishedPerMinute(
    [
      line("2026-12-01T10:00:10Z", "5s", "flow.completed"),
      line("2026-12-01T09:00:10Z", "1h1m", "flow.panic"),
      line("2026-12-01T10:02:59.9Z", "0.05s", "flow.cancelled"),
      line("2026-12-01T10:02:59Z", "2s", "flow.completed"), // in the minute that is not over
      line("2026-12-01T10:01:00Z", "", undefined), // runs
      line("2026-12-01T08:00:00Z", "1s", "flow.completed"), // before
    ],
    now, 3,
  );
  expect(f.at.map((s) => new Date(s * 1000).toISOString().slice(11, 16))).toEqual(["10:00", "10:01", "10:02"]);
  expect(f.all).toEqual([1, 1, 1]);
  expect(f.panicked).toEqual([0, 1, 0]);
});

test("samples are bounded, and of a large flow those of the selected edge are kept", () => {
  const graph = (n: number): Graph => ({ nodes: [], inputs: [], outputs: [], edges: Array.from({ length: n }, (_, i): Edge => ({ id: "e" + i, from: { node: "a", port: "o" }, to: { node: "b", port: "i" }, type: "", state: "flowing", sent: null, received: null, fill: 0, unread: 2, rate: 3, volume: 0, blockedSince: 0 })) });
  const h = new History();
  for (let i = 0; i < 2000; i++) h.take(graph(2), 1000 * i, "");
  expect(h.of("e1")!.at).toHaveLength(1800);
  expect(h.total.rate.at(-1)).toBe(6);
  h.take(graph(400), 1, "e7");
  expect(h.of("e1")).toBeUndefined();
  expect(h.of("e7")!.waiting).toEqual([2]);
});
