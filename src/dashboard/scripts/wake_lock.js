// Keeps the screen of a tablet on.

/// Keeps the screen on until the scope ends. The browser takes the lock away whenever the page is hidden, so it
/// is asked for again. `told` gets whether the lock is held: over plain HTTP browsers give none.
function keepScreenOn(scope, told) {
  let lock = null;
  let ended = false;
  async function ask() {
    if (ended || lock || document.visibilityState !== "visible") return;
    try {
      const held = await navigator.wakeLock.request("screen");
      if (ended) return held.release();
      lock = held;
      held.addEventListener("release", () => {
        lock = null;
        told(false);
      });
    } catch {
      // Without HTTPS there is no wakeLock, and with an empty battery it is refused.
    }
    if (!ended) told(lock !== null);
  }
  scope.listen(document, "visibilitychange", ask);
  // A battery that is charged again, for example.
  scope.every(60_000, ask);
  scope.onEnd(() => {
    ended = true;
    lock?.release();
  });
  ask();
}
