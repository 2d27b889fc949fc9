// The values of custom properties for a canvas, which knows no var(). They are read again when the theme changes.

const media = ["(prefers-color-scheme: dark)", "(prefers-contrast: more)", "(forced-colors: active)"].map((q) => matchMedia(q));
let known = new Map<string, string>();
let of = "";

/** Returns the reader of custom properties as they are at an element. */
export function palette(at: HTMLElement): (property: string) => string {
  const theme = [document.documentElement.dataset.theme, ...media.map((m) => m.matches)].join();
  if (theme !== of) [known, of] = [new Map(), theme];
  return (property) => {
    let value = known.get(property);
    if (value === undefined) known.set(property, (value = read(at, property)));
    return value;
  };
}

function read(at: HTMLElement, property: string): string {
  if (property === "--sans") return getComputedStyle(at).getPropertyValue(property);
  const before = at.style.color;
  at.style.color = `var(${property})`;
  const value = getComputedStyle(at).color;
  at.style.color = before;
  return value;
}
