// The panel of the room's check: its newest report, and the button that makes one.

const CHECK_NAMES = new Map(Object.entries({ login: "Log-in", registrations: "Registrations", panels: "Touch panels", camera_move: "Camera move", call: "Test call" }));

function readinessPanel(scope, room) {
  const topic = `room/${room}/readiness`;
  const result = el("span", { class: "pill" });
  const checks = el("ul", { class: "findings", "aria-label": "Checks", "aria-live": "polite" });
  const about = el("p", { class: "dim small-text" });
  scope.watch([topic, "connection"], () => {
    const report = store.get(topic);
    setTone(result, report ? (report.ok ? "Ready" : "Not ready") : "", report?.ok ? "good" : "bad");
    result.hidden = !report;
    const when = dateOf(report?.at);
    setText(about, when ? `Checked ${when.toLocaleString()}.` : connection.isKnown(topic) ? "Not checked yet." : "Not known yet.");
    // What failed comes first.
    const found = [...list(report?.checks)].sort((a, b) => a.ok - b.ok);
    checks.hidden = found.length === 0;
    checks.replaceChildren(...found.map(({ name, ok, message }) =>
      el("li", { class: "status", "data-tone": ok ? "good" : "bad" },
        el("div", {}, el("b", {}, CHECK_NAMES.get(name) ?? capital(words(name))), el("small", { class: "dim" }, capital(message))))));
  });
  const run = el("button", { type: "button", click: () => press(run, room, "readiness/run") }, "Check room");
  const card = panel("Readiness", "list", checks, about, el("div", { class: "row end" }, run));
  card.firstChild.append(result);
  return card;
}
