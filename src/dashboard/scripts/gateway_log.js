// The page of the gateway's log: its own lines and what happens in the rooms, kept by the gateway.

/// How often new lines are asked for while the page is shown.
const LOG_POLL_INTERVAL = 2000;
/// A person scrolls no further; the filters find what is older.
const LOG_LINES_SHOWN = 500;
/// After the last key in the filter of texts.
const LOG_FILTER_DELAY = 250;

const LOG_LEVELS = { info: "Everything", warn: "Warnings and errors", error: "Errors" };
const LOG_KINDS = { online: ["online", "good"], offline: ["offline", "bad"], call: ["call", "accent"], event: ["event", "accent"], command: ["ok", "good"] };

/// Entries of the log that the token may see; what fails is thrown, in words.
async function readLog(filter) {
  const url = gatewayAddress("gateway/log");
  for (const [name, value] of Object.entries(filter)) if (value) url.searchParams.set(name, value);
  const response = await askGateway(url);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error?.message ?? `the gateway answers ${response.status}`);
  return answer;
}

/// One entry: when, how bad or what it is, where, and what happened.
function logEntry(entry) {
  const at = new Date(entry.at);
  const today = at.toDateString() === new Date().toDateString();
  const isFailure = entry.kind === "failure";
  const [kind, tone] = isFailure ? [words(entry.code), "bad"] : entry.kind === "line" ? [entry.level, { error: "bad", warn: "warn" }[entry.level] ?? ""] : LOG_KINDS[entry.kind] ?? [entry.kind, ""];
  const pill = el("span", { class: "pill", "data-tone": tone }, kind);
  const place = entry.room === null ? el("span", { class: "dim" }, "Gateway") : el("a", { href: roomHash(entry.room), dir: "auto", title: roomName(entry.room) }, roomName(entry.room));
  const what = el("span", { class: "what" });
  if (entry.command) what.append(el("span", { class: "mono" }, entry.command), " ");
  if (entry.text) what.append(el("span", { class: isFailure || tone === "bad" ? "bad-text" : "", dir: "auto" }, capital(entry.text)));
  const by = entry.command ? `${entry.door} · ${entry.took_ms} ms` : "";
  return el("div", { class: "log-entry", "data-kind": entry.kind, "data-level": entry.level, "data-ok": entry.command ? String(!isFailure) : null },
    el("time", { datetime: entry.at, title: at.toLocaleString() }, `${today ? "" : `${weekday.format(at)} `}${clockWithSeconds.format(at)}`),
    pill, el("span", { class: "place" }, place), what, el("span", { class: "took" }, by));
}

function logPage(scope, main) {
  document.title = "Log – poly2mqtt";
  const choice = (label, change) => el("select", { "aria-label": label, change });
  const level = choice("Level", () => restart());
  level.append(...Object.entries(LOG_LEVELS).map(([value, text]) => el("option", { value }, text)));
  let wantedRoom = "";
  const room = choice("Room", () => {
    wantedRoom = room.value;
    restart();
  });
  let typing;
  const text = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the log", spellcheck: "false", autocomplete: "off", input: () => {
    clearTimeout(typing);
    typing = setTimeout(restart, LOG_FILTER_DELAY);
  } });
  const lines = el("div", { class: "lines", role: "log", "aria-label": "Entries" });
  const note = el("p", { class: "dim", role: "status" });
  const since = el("p", { class: "dim small-text" });
  main.append(
    el("div", { class: "row spread" },
      el("div", { class: "head" }, el("h1", {}, "Log"), el("p", { class: "dim" }, "What the gateway says, and what happens in its rooms: online, offline, calls, commands, failures.")),
      el("div", { class: "row log-filters" }, level, room, text)),
    el("section", { class: "card panel log-page", "aria-label": "Log" }, note, lines, since));

  // A reload of the page keeps the filters too.
  const kept = JSON.parse(sessionStorage.getItem("log-filter") ?? "{}");
  level.value = kept.level in LOG_LEVELS ? kept.level : "info";
  text.value = kept.text ?? "";
  wantedRoom = kept.room ?? "";
  scope.watch(["rooms", "gateway/info"], () => {
    room.replaceChildren(el("option", { value: "" }, "All rooms"), ...store.rooms().map((each) => el("option", { value: each }, roomName(each))));
    room.value = wantedRoom;
    if (room.selectedIndex < 0) room.value = "";
  });

  let asked = 0; // counts the filters, so that a late answer to an earlier one is dropped
  let after = 0;
  let started = "";
  let busy = false;
  const filter = () => ({ level: level.value, room: wantedRoom, text: text.value.trim() });
  function restart() {
    sessionStorage.setItem("log-filter", JSON.stringify(filter()));
    asked += 1;
    after = 0;
    busy = false;
    lines.replaceChildren();
    read();
  }
  async function read() {
    if (busy || !connection.isUp || document.visibilityState !== "visible") return;
    busy = true;
    const question = asked;
    try {
      const answer = await readLog({ ...filter(), after, limit: LOG_LINES_SHOWN });
      if (question !== asked) return;
      const isRestarted = started !== "" && started !== answer.since;
      started = answer.since;
      // The clock of a gateway that was started again may be behind the last entry.
      if (isRestarted && after > 0) after = 0;
      else show(answer.entries);
      setText(since, `The gateway keeps this in memory since its start, ${new Date(answer.since).toLocaleString()}; the oldest entries give way.`);
      setText(note, lines.children.length > 0 ? "" : "Nothing yet that matches.");
    } catch (error) {
      if (question === asked) setText(note, `The log cannot be read: ${error.message}.`);
    }
    if (question === asked) busy = false;
    note.hidden = note.textContent === "";
  }
  function show(entries) {
    if (entries.length === 0) return;
    after = entries.at(-1).id;
    lines.prepend(...entries.map(logEntry).reverse());
    while (lines.children.length > LOG_LINES_SHOWN) lines.lastChild.remove();
  }
  scope.watch(["connection"], read);
  scope.every(LOG_POLL_INTERVAL, read);
  scope.listen(document, "visibilitychange", read);
  scope.onEnd(() => {
    clearTimeout(typing);
    asked += 1;
  });
}
