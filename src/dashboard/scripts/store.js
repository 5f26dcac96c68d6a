// What the page knows: the newest value of each retained topic, and the watchers of changes.
//
// Besides topics there are four keys to watch: "rooms" (which there are), "availability" (of any
// room), "connection" and "log".

const store = {
  values: new Map(),
  seen: null, // while states arrive after a reconnect: the topics that have come so far
  watchers: new Map(), // topic, or prefix ending in "/", or another key → Set of watchers
  due: new Set(), // watchers that run with the next frame

  get(topic) {
    return this.values.get(topic);
  },

  set(topic, value) {
    this.seen?.add(topic);
    const known = this.values.has(topic);
    if (value === null) this.values.delete(topic);
    else this.values.set(topic, value);
    if (topic.endsWith("/availability")) {
      this.notify("availability");
      if (known !== this.values.has(topic)) this.notify("rooms");
    }
    this.notify(topic);
    for (let end = topic.lastIndexOf("/"); end > 0; end = topic.lastIndexOf("/", end - 1)) {
      this.notify(topic.slice(0, end + 1), topic);
    }
  },

  /// Forgets every topic for which `wanted` is false.
  keepOnly(wanted) {
    for (const topic of [...this.values.keys()]) if (!wanted(topic)) this.set(topic, null);
  },

  /// All subscribed states come again after a reconnect; a state that does not come is gone.
  beginSync() {
    this.seen = new Set();
  },

  endSync() {
    const seen = this.seen;
    this.seen = null;
    this.keepOnly((topic) => seen.has(topic));
  },

  notify(key, topic) {
    for (const watcher of this.watchers.get(key) ?? []) {
      watcher.changed.add(topic);
      this.schedule(watcher);
    }
  },

  /// A watcher runs at most once a frame, however many of its topics changed.
  schedule(watcher) {
    if (this.due.size === 0) {
      requestAnimationFrame(() => {
        const due = [...this.due];
        this.due.clear();
        for (const each of due) {
          const changed = [...each.changed];
          each.changed.clear();
          if (!each.ended) each.run(changed);
        }
      });
    }
    this.due.add(watcher);
  },

  /// Does `work` now and at every change of these keys, until the returned function is called.
  watch(keys, work) {
    // A device can send anything: an error in one panel must not stop the others.
    const run = (changed) => {
      try {
        work(changed);
      } catch (error) {
        reportError(error);
      }
    };
    const watcher = { run, changed: new Set(), ended: false };
    for (const key of keys) {
      if (!this.watchers.has(key)) this.watchers.set(key, new Set());
      this.watchers.get(key).add(watcher);
    }
    run(keys.flatMap((key) => (key.endsWith("/") ? this.below(key) : [])));
    return () => {
      watcher.ended = true;
      for (const key of keys) {
        const watchers = this.watchers.get(key);
        watchers.delete(watcher);
        if (watchers.size === 0) this.watchers.delete(key);
      }
    };
  },

  below(prefix) {
    return [...this.values.keys()].filter((topic) => topic.startsWith(prefix));
  },

  /// The ids of all rooms, sorted by name.
  rooms() {
    const rooms = [...this.values.keys()].filter((topic) => matches("room/+/availability", topic)).map((topic) => topic.split("/")[1]);
    return rooms.sort((a, b) => byName.compare(roomName(a), roomName(b)) || byName.compare(a, b));
  },
};
