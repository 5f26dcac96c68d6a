/// Everything that ends when the shown page is left: subscriptions, watchers, timers and
/// listeners. Leaving a page leaves nothing behind.
class Scope {
  constructor() {
    this.endings = [];
  }
  onEnd(end) {
    this.endings.push(end);
  }
  watch(keys, run) {
    this.onEnd(store.watch(keys, run));
  }
  subscribe(...filters) {
    this.onEnd(connection.subscribe(filters));
  }
  every(milliseconds, run) {
    const timer = setInterval(run, milliseconds);
    this.onEnd(() => clearInterval(timer));
  }
  listen(target, event, run) {
    target.addEventListener(event, run);
    this.onEnd(() => target.removeEventListener(event, run));
  }
  end() {
    for (const end of this.endings.splice(0).reverse()) end();
  }
}
