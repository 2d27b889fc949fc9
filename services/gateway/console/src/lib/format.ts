// Numbers, sizes and times as the console writes them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function num(n: number): string {
  return whole.format(n);
}

/** 1 record, 2 records. */
export function count(n: number, unit: string): string {
  return `${num(n)} ${unit}${n === 1 ? "" : "s"}`;
}

function scaled(n: number, step: number, units: readonly string[]): string {
  let i = 0;
  while (n >= step && i < units.length - 1) {
    n /= step;
    i++;
  }
  return `${i > 0 && n < 10 ? n.toFixed(1) : num(n)} ${units[i]}`;
}

/** Volumes: kB, MB. */
export function bytes(n: number): string {
  return scaled(n, 1000, ["B", "kB", "MB", "GB", "TB"]);
}

/** Memory and windows: KiB, MiB. */
export function memory(n: number): string {
  return scaled(n, 1024, ["B", "KiB", "MiB", "GiB"]);
}

export function rate(n: number): string {
  if (n === 0) return "0/s";
  return (n < 10 ? n.toFixed(1) : n < 10_000 ? num(n) : scaled(n, 1000, ["", "k", "M"]).replace(" ", "")) + "/s";
}

/** 0.4 s, 8 s, 1 m 12 s, 6 m 05 s, 17 h 53 m, 3 d 4 h. */
export function duration(ms: number): string {
  const s = ms / 1000;
  if (s < 0.0995) return `${Math.max(0, Math.round(ms))} ms`;
  if (s < 9.95) return `${s.toFixed(1).replace(/\.0$/, "")} s`;
  const t = Math.round(s);
  const two = (n: number) => String(n).padStart(2, "0");
  if (t < 60) return `${t} s`;
  if (t < 3600) return `${Math.floor(t / 60)} m ${two(t % 60)} s`;
  if (t < 86_400) return `${Math.floor(t / 3600)} h ${two(Math.floor((t % 3600) / 60))} m`;
  return `${Math.floor(t / 86_400)} d ${Math.floor((t % 86_400) / 3600)} h`;
}

/** Milliseconds of a Go duration, such as 1h2m3.5s. */
export function goDuration(text: string): number {
  const unit: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, "µs": 1e-3, ns: 1e-6 };
  let ms = 0;
  for (const [, n, u] of text.matchAll(/([\d.]+)(h|ms|us|µs|ns|m|s)/g)) ms += Number(n) * (unit[u ?? ""] ?? 0);
  return ms;
}

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** The local time of day, after the day unless it is today. */
export function clock(at: string | number): string {
  const d = new Date(at);
  const today = new Date().toDateString() === d.toDateString();
  return (today ? "" : day.format(d) + ", ") + time.format(d);
}

export function zone(): string {
  const m = -new Date().getTimezoneOffset();
  const h = Math.trunc(Math.abs(m) / 60);
  return m === 0 ? "UTC" : `UTC${m > 0 ? "+" : "−"}${h}${m % 60 ? ":" + String(Math.abs(m) % 60).padStart(2, "0") : ""}`;
}
