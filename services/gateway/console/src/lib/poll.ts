/**
 * Calls look now and again after each pause, while the page is visible, until stop is called. The pause is longer if look takes
 * long, so that most of the time is left for the page.
 */
export function poll(pause: number, look: (signal: AbortSignal) => Promise<void>): () => void {
  const stopped = new AbortController();
  void (async () => {
    await Promise.resolve(); // what look reads must not become a dependency of the effect that polls
    while (!stopped.signal.aborted) {
      const began = performance.now();
      if (!document.hidden) await look(stopped.signal).catch(() => undefined);
      const took = performance.now() - began;
      await new Promise<void>((done) => {
        const timer = setTimeout(done, document.hidden ? 200 : Math.max(pause, 3 * took));
        stopped.signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
      });
    }
  })();
  return () => stopped.abort();
}
