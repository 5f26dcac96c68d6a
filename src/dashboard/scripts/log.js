// The lines of the commands that this page has sent, and of those of other clients that failed.

/// The log's entries, newest first. Each line is made once and changed when its result comes.
function logLines(scope, matchesFilter, limit) {
  const lines = el("div", { class: "lines", role: "log", "aria-label": "Commands" });
  const known = new Map();
  function line(entry) {
    const made = el("div", { class: "log-entry" },
      el("time", { datetime: entry.at.toISOString() }, clockWithSeconds.format(entry.at)),
      el("span", { class: "pill clip" }),
      el("span", { class: "mono" }, `room/${entry.room}/${entry.command}`, el("span", { class: "dim" }, entry.payload ? ` ${entry.payload}` : "")),
      el("span", { class: "took" }),
      el("span", { class: "message", hidden: true }));
    return made;
  }
  function write(made, entry) {
    const [, pill, , took, message] = made.children;
    if (entry.pending) setTone(pill, "waiting", "warn");
    else if (entry.ok) setTone(pill, "ok", "good");
    else setTone(pill, words(entry.code), "bad");
    made.dataset.ok = entry.pending ? "" : entry.ok;
    setText(took, entry.own ? (entry.pending ? "…" : `${Math.round(entry.roundTripMs)} ms`) : "another client");
    if (entry.tookMs !== undefined) took.title = `${entry.tookMs} ms in the gateway and the device`;
    message.hidden = !entry.message || entry.pending;
    setText(message, entry.message ? capital(entry.message) : "");
  }
  const empty = el("p", { class: "dim" }, "No commands yet.");
  scope.watch(["log"], () => {
    const entries = log.entries.filter(matchesFilter).slice(0, limit);
    const keys = new Set(entries.map((entry) => entry.key));
    for (const [key, made] of known) {
      if (keys.has(key)) continue;
      made.remove();
      known.delete(key);
    }
    empty.hidden = entries.length > 0;
    for (const [index, entry] of entries.entries()) {
      if (!known.has(entry.key)) {
        known.set(entry.key, line(entry));
        lines.insertBefore(known.get(entry.key), lines.children[index] ?? null);
      }
      write(known.get(entry.key), entry);
    }
  });
  return el("div", {}, empty, lines);
}
