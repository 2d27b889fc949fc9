// What the nodes and edges of the run view show. It changes every second, the graph's structure hardly ever: so nodes and
// edges read it from here, and the canvas does not make them anew.

import { getContext, setContext } from "svelte";
import type { Edge, Node } from "../lib/model";

export class Board {
  nodes = $state.raw(new Map<string, Node>());
  edges = $state.raw(new Map<string, Edge>());
  now = $state(0);
  /** Nothing moves while the connection is lost, or after the end. */
  still = $state(false);
  /** So many wires are in view that they do not march. */
  calm = $state(false);
}

const key = Symbol("board");

export const provideBoard = (b: Board): Board => setContext(key, b);
export const useBoard = (): Board => getContext<Board>(key);
