// Charts by uPlot, which is loaded when the first one is shown.

import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";
import { palette } from "../canvas/palette";

export interface Series {
  label: string;
  /** A custom property. */
  colour: string;
  values: readonly number[];
}

export interface Plot {
  kind: "bars" | "lines";
  at: readonly number[];
  series: readonly Series[];
  /** How a value is written beside the axis. */
  write: (n: number) => string;
  /** Charts with the same name have one cursor. */
  group?: string;
}

/** Draws a plot into an element, and returns how to change its data and size, and how to remove it. */
export function draw(into: HTMLElement, plot: Plot, width: number, height: number) {
  const colour = palette(into);
  const bars = plot.kind === "bars";
  const font = `11px ${colour("--sans").replace(/^\s+/, "")}`;
  const axis = { stroke: colour("--ink-3"), font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const u = new uPlot(
    {
      width,
      height,
      padding: bars ? [0, 0, 0, 0] : [8, 8, 0, 0],
      legend: { show: false },
      cursor: { show: !bars, y: false, drag: { x: false, y: false }, points: { size: 5 }, ...(plot.group && { sync: { key: plot.group } }) },
      scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, Math.max(1, max * (bars ? 1 : 1.1))] } },
      axes: bars ? [{ show: false }, { show: false }] : [{ ...axis, size: 22, space: 60 }, { ...axis, size: 56, space: 28, values: (_u, all) => all.map(plot.write) }],
      series: [
        {},
        ...plot.series.map((s) => ({
          label: s.label,
          stroke: colour(s.colour),
          width: bars ? 0 : 1.5,
          points: { show: false },
          ...(bars && { fill: colour(s.colour), paths: uPlot.paths.bars!({ size: [0.75, 6], align: 1 }) }),
        })),
      ],
    },
    dataOf(plot),
    into,
  );
  return {
    set: (p: Plot) => u.setData(dataOf(p)),
    size: (w: number) => u.setSize({ width: w, height }),
    remove: () => u.destroy(),
  };
}

function dataOf(p: Plot): uPlot.AlignedData {
  return [p.at as number[], ...p.series.map((s) => s.values as number[])];
}
