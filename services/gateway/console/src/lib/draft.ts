// A flow that another page hands to the composer, in this tab only.

const key = "dagyo.handed";

export function hand(text: string): void {
  sessionStorage.setItem(key, text);
}

export function take(): string | null {
  const text = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  return text;
}
