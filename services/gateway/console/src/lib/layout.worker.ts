// Lays out graphs beside the page.

import { layers, type Link } from "./layers";
import { arrange, mostArranged, type Box } from "./layout";

addEventListener("message", (e: MessageEvent<{ boxes: Box[]; links: Link[] }>) => {
  const { boxes, links } = e.data;
  postMessage(boxes.length > mostArranged ? layers(boxes, links) : arrange(boxes, links));
});
