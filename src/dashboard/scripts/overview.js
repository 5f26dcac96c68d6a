// The first page: a card for each room.

function overviewPage(scope, main) {
  document.title = "Rooms – poly2mqtt";
  scope.subscribe("room/+/video/muted", "room/+/audio/muted", "room/+/audio/volume", "room/+/call/in_meeting", "room/+/calendar/current", "room/+/calendar/next");
  const gateway = el("span", { class: "status" });
  const about = el("span", { class: "dim small-text" });
  const filter = el("input", { type: "search", placeholder: "Find a room", "aria-label": "Find a room", input: () => show() });
  const rooms = el("div", { class: "rooms" });
  const empty = el("p", { class: "card empty", hidden: true });
  main.append(
    el("div", { class: "row spread" },
      el("div", { class: "head" }, el("h1", {}, "Rooms"), el("div", { class: "summary" }, gateway, about)),
      el("div", {}, filter)),
    rooms, empty);

  scope.watch(["gateway/availability", "gateway/info", "gateway/health", "availability"], () => {
    const running = store.get("gateway/availability") === "online";
    const info = store.get("gateway/info");
    setTone(gateway, running ? "Gateway running" : "Gateway stopped", running ? "good" : "bad");
    // Not from info.started: the clocks of gateway and browser may differ, or be set meanwhile.
    const health = store.get("gateway/health");
    const facts = [];
    if (info) facts.push(`Version ${info.version}`);
    if (health) facts.push(`up for ${duration(health.uptime_s)}`);
    const known = store.rooms();
    const online = known.filter((room) => store.get(`room/${room}/availability`) === "online").length;
    facts.push(`${online} of ${known.length} ${known.length === 1 ? "room" : "rooms"} online`);
    setText(about, facts.join(" · "));
  });

  // Each room keeps its card, which only moves: so the focus stays where it is.
  const cards = new Map();
  function show() {
    const known = store.rooms();
    for (const [room, card] of cards) {
      if (known.includes(room)) continue;
      card.scope.end();
      card.element.remove();
      cards.delete(room);
    }
    const query = filter.value.trim().toLowerCase();
    filter.parentElement.hidden = known.length < 7 && query === "";
    let visible = 0;
    for (const room of known) {
      if (!cards.has(room)) cards.set(room, roomCard(room));
      const { element } = cards.get(room);
      element.hidden = !`${room} ${roomName(room)} ${model(room)}`.toLowerCase().includes(query);
      visible += element.hidden ? 0 : 1;
      if (rooms.children[known.indexOf(room)] !== element) rooms.insertBefore(element, rooms.children[known.indexOf(room)] ?? null);
    }
    empty.hidden = visible > 0;
    setText(empty, known.length > 0 ? "No room matches." : connection.isUp ? "No rooms yet. Add them under [rooms] in the gateway's configuration." : "Waiting for the gateway…");
  }
  scope.watch(["rooms", "gateway/info", "connection"], show);
  scope.onEnd(() => cards.forEach((card) => card.scope.end()));
}

function roomCard(room) {
  const scope = new Scope();
  const base = `room/${room}`;
  const name = el("h2", { class: "clip grow" });
  const device = el("p", { class: "dim small-text clip" });
  const mic = el("span", { class: "pill" }, icon("mic"), el("span"));
  const volume = el("span", { class: "pill" }, icon("speaker"), el("span"));
  const video = el("span", { class: "pill", "data-tone": "bad" }, icon("video-off"), el("span", {}, "Camera off"));
  scope.watch([`${base}/system/info`, "gateway/info"], () => {
    setText(name, roomName(room));
    setText(device, [`Room ${room}`, model(room)].filter(Boolean).join(" · "));
  });
  const facts = el("div", { class: "facts" }, callPill(scope, room), mic, video, volume);
  scope.watch([`${base}/availability`], () => facts.toggleAttribute("data-stale", store.get(`${base}/availability`) !== "online"));
  scope.watch([`${base}/audio/muted`, `${base}/audio/volume`, `${base}/video/muted`], () => {
    const muted = store.get(`${base}/audio/muted`);
    mic.hidden = muted === undefined;
    mic.dataset.tone = muted ? "bad" : "";
    setIcon(mic.firstChild, muted ? "mic-off" : "mic");
    setText(mic.lastChild, muted ? "Muted" : "Mic on");
    const level = store.get(`${base}/audio/volume`);
    volume.hidden = level === undefined;
    setText(volume.lastChild, `${level}`);
    volume.title = "Volume";
    video.hidden = store.get(`${base}/video/muted`) !== true;
  });
  const meeting = el("p", { class: "next small-text" }, icon("calendar"), el("span", { class: "clip grow" }));
  scope.watch([`${base}/calendar/current`, `${base}/calendar/next`], () => {
    const [now, next] = ["current", "next"].map((which) => store.get(`${base}/calendar/${which}`));
    const [running, coming] = [meetingTimes(now), meetingTimes(next)];
    meeting.hidden = !running && !coming;
    if (running) setText(meeting.lastChild, `${meetingName(now)} until ${clock.format(running.end)}`);
    else if (coming) setText(meeting.lastChild, `${meetingName(next)} at ${coming.day}${clock.format(coming.begin)}`);
  });
  const element = el("a", { class: "card room-card", href: roomHash(room), "data-room": room },
    el("div", {}, el("div", { class: "row" }, name, availabilityPill(scope, room)), device),
    problemBox(scope, room),
    facts, meeting);
  return { scope, element };
}
