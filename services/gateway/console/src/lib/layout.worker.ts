// Lays out large graphs beside the page.

import { layers, type Link } from "./layers";
import type { Box } from "./layout";

addEventListener("message", (e: MessageEvent<{ boxes: Box[]; links: Link[] }>) => postMessage(layers(e.data.boxes, e.data.links)));
