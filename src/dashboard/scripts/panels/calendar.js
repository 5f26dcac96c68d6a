// The panel of the next meetings.

function calendarPanel(scope, room) {
  const base = `room/${room}/`;
  const lines = el("div", { class: "lines" });
  const empty = el("p", { class: "dim" });
  const status = el("span", { class: "status" });
  const join = (meeting, running) => {
    const button = el("button", { class: running ? "primary small" : "small", type: "button", "aria-label": `Join ${meetingName(meeting)}`, click: () => press(button, room, `calendar/meeting/${level(meeting.id)}/dial`) }, "Join");
    return button;
  };
  let shown = "";
  const show = () => {
    const now = Date.now();
    const current = store.get(`${base}calendar/current`)?.id;
    const meetings = list(store.get(`${base}calendar/meetings`))
      .filter((meeting) => meeting.canceled !== true && meetingTimes(meeting)?.end > now)
      .sort((a, b) => a.startTime - b.startTime).slice(0, 6);
    const calendar = store.get(`${base}calendar/status`);
    setTone(status, calendar ? capital(words(calendar)) : "", /online|up|registered/i.test(calendar) ? "good" : "warn");
    status.hidden = calendar === undefined;
    empty.hidden = meetings.length > 0;
    setText(empty, store.get(`${base}calendar/meetings`) === undefined ? "Not known." : "No meetings planned.");
    const facts = JSON.stringify([meetings, current]);
    if (facts === shown) return;
    shown = facts;
    lines.replaceChildren(...meetings.map((meeting) => {
      const { begin, end, day } = meetingTimes(meeting);
      const running = meeting.id === current;
      const where = [`${running ? "Now · " : day}${clock.format(begin)} – ${clock.format(end)}`, meeting.organizer].filter(Boolean).join(" · ");
      return el("div", { class: running ? "meeting now" : "meeting" },
        el("div", {}, el("b", {}, meetingName(meeting)), el("span", { class: "dim small-text" }, where)),
        meeting.canDial ? join(meeting, running) : null);
    }));
  };
  scope.watch([`${base}calendar/meetings`, `${base}calendar/current`, `${base}calendar/status`], show);
  scope.every(30_000, show);
  const card = panel("Calendar", "calendar", lines, empty);
  card.firstChild.append(status);
  return card;
}
