// The page that is shown, by the path of the URL. Links are plain anchors.

export const route = $state({ path: location.pathname, query: new URLSearchParams(location.search) });

function read(): void {
  route.path = location.pathname;
  route.query = new URLSearchParams(location.search);
}

export function go(to: string, replace = false): void {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  read();
}

/** Changes parameters of the query; "" removes one. */
export function setQuery(changes: Record<string, string>): void {
  const q = new URLSearchParams(route.query);
  for (const [k, v] of Object.entries(changes)) {
    if (v === "") q.delete(k);
    else q.set(k, v);
  }
  const text = q.toString();
  go(route.path + (text === "" ? "" : "?" + text), true);
}

window.addEventListener("popstate", read);
document.addEventListener("click", (e) => {
  const a = (e.target as Element | null)?.closest?.("a");
  if (!a || e.defaultPrevented || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
  if (a.origin !== location.origin || a.target !== "" || a.hasAttribute("download") || a.pathname === "/openapi.json") return;
  e.preventDefault();
  go(a.pathname + a.search);
});
