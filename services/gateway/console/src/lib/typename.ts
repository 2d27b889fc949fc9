// Typenames as sockets: the family gives shape and hue, the outer wrapper a frame.

export type Family = "text" | "json" | "bytes" | "named" | "any";

export interface Socket {
  family: Family;
  wrapper: "" | "result" | "list";
}

/** Returns the socket of a typename. A parameter is one of params, or has a dot: `node.T` is not yet known. */
export function socketOf(typename: string, params: readonly string[] = []): Socket {
  const inner = /^(Result|list)<(.*)>$/.exec(typename);
  if (inner) {
    return { family: socketOf(inner[2] ?? "", params).family, wrapper: inner[1] === "list" ? "list" : "result" };
  }
  let family: Family = "named";
  if (params.includes(typename) || /^[^<>]+\.[A-Z]\w*$/.test(typename) || typename === "") family = "any";
  else if (typename === "utf8-string") family = "text";
  else if (typename === "json") family = "json";
  else if (typename === "octets") family = "bytes";
  return { family, wrapper: "" };
}
