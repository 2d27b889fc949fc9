// What nodes and edges of the composer show beside the document.

import { getContext, setContext } from "svelte";
import type { PublishedProgdef } from "../lib/model";

export interface Composed {
  id: string;
  progdef: string;
  document: PublishedProgdef | null;
  /** Ports of edges and values that the progdef does not have. */
  strange: { inputs: string[]; outputs: string[] };
  settings: Record<string, unknown[]>;
}

export class Composing {
  nodes = $state.raw(new Map<string, Composed>());
  /** Types that the validator has inferred, by `node.port`. */
  types = $state.raw(new Map<string, string>());
  connected = $state.raw(new Set<string>());
  /** Ends that fit the one that is being connected, with the type they get; null while nothing is. */
  fits = $state.raw<Map<string, string> | null>(null);
  problems = $state.raw(new Map<string, string>());
}

const key = Symbol("composing");

export const provideComposing = (c: Composing): Composing => setContext(key, c);
export const useComposing = (): Composing => getContext<Composing>(key);
