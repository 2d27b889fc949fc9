/** Calls look now and again after each pause, while the page is visible, until stop is called. */
export function poll(pause: number, look: (signal: AbortSignal) => Promise<void>): () => void {
  const stopped = new AbortController();
  void (async () => {
    await Promise.resolve(); // what look reads must not become a dependency of the effect that polls
    while (!stopped.signal.aborted) {
      if (!document.hidden) await look(stopped.signal).catch(() => undefined);
      await new Promise<void>((done) => {
        const timer = setTimeout(done, document.hidden ? 200 : pause);
        stopped.signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
      });
    }
  })();
  return () => stopped.abort();
}
