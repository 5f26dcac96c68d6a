// The panel of the last commands of a room.

/// Enough to see what just happened; the rest is on the log page.
const COMMANDS_SHOWN = 6;

function commandsPanel(scope, room) {
  const card = panel("Commands", "list", logLines(scope, (entry) => entry.room === room, COMMANDS_SHOWN));
  card.classList.add("log-card");
  card.firstChild.append(el("a", { class: "small-text", href: "#/log" }, "Full log"));
  return card;
}
