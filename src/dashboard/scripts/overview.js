// The first page: a card, or in the compact list a line, for each room.

/// With more rooms than this the list is compact, unless the person chose otherwise.
const MOST_CARDS = 24;
/// With fewer rooms there is nothing to sort and find.
const FEWEST_TO_ARRANGE = 2;

/// What the person chose, kept in this browser: {view, order, wanted}.
const choices = {
  all: {},
  load() {
    try {
      const stored = JSON.parse(localStorage.getItem("rooms"));
      this.all = isObject(stored) ? stored : {};
    } catch {
      this.all = {}; // no storage, or not our value
    }
  },
  set(name, value) {
    this.all[name] = value;
    try {
      localStorage.setItem("rooms", JSON.stringify(this.all));
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  },
};

/// What a person wants to know first of a room: "offline", "unready", "unknown", "call" or "free".
function roomCondition(room) {
  const state = (topic) => store.get(`room/${room}/${topic}`);
  const is = availability(room);
  if (is !== "online") return is;
  if (state("readiness")?.ok === false) return "unready";
  const call = state("call/state");
  return (call !== undefined && call !== "idle") || state("call/in_meeting") === true ? "call" : "free";
}

/// The choices of rooms: their names, and the conditions that they take.
const CONDITIONS = {
  any: ["All rooms", ["offline", "unready", "unknown", "call", "free"]],
  problem: ["With a problem", ["offline", "unready"]],
  offline: ["Offline", ["offline"]],
  call: ["In a call", ["call"]],
  free: ["Free", ["free"]],
};
/// The orders: their names, and the conditions that come first.
const ORDERS = {
  problems: ["Problems first", ["offline", "unready", "unknown", "call", "free"]],
  calls: ["Calls first", ["call", "offline", "unready", "unknown", "free"]],
  names: ["By name", []],
};

/// A list of choices that the browser keeps.
function chooser(name, label, options, changed) {
  const choice = el("select", { "aria-label": label, change: () => {
    choices.set(name, choice.value);
    changed();
  } }, ...Object.entries(options).map(([value, [text]]) => el("option", { value }, text)));
  if (Object.hasOwn(options, choices.all[name] ?? "")) choice.value = choices.all[name];
  return choice;
}

function overviewPage(scope, main) {
  document.title = "Rooms – poly2mqtt";
  scope.subscribe("room/+/video/muted", "room/+/audio/muted", "room/+/audio/volume", "room/+/call/in_meeting", "room/+/calendar/current", "room/+/calendar/next", "room/+/readiness");
  followRoomGateways(scope);
  choices.load();
  const gateway = el("span", { class: "status" });
  const about = el("span", { class: "dim small-text" });
  const filter = el("input", { type: "search", placeholder: "Find a room", "aria-label": "Find a room", input: () => show() });
  const wanted = chooser("wanted", "Which rooms", CONDITIONS, () => show());
  const order = chooser("order", "Order", ORDERS, () => show());
  const views = el("div", { class: "segments", role: "radiogroup", "aria-label": "How rooms are shown" },
    ...Object.entries({ cards: "Cards", list: "List" }).map(([value, text]) => el("label", {}, el("input", { type: "radio", name: "view", value, change: () => {
      choices.set("view", value);
      show();
    } }), el("span", {}, text))));
  const tools = el("div", { class: "tools" }, filter, wanted, order, views);
  const rooms = el("div", { class: "rooms" });
  const empty = el("p", { class: "card empty", hidden: true });
  main.append(
    el("div", { class: "head" }, el("h1", {}, "Rooms"), el("div", { class: "summary" }, gateway, about)),
    tools, rooms, empty);

  scope.watch(["gateway/availability", "gateway/info", "gateway/health", "gateway/cluster", "availability", "connection"], () => {
    const running = { online: ["Gateway running", "good"], offline: ["Gateway stopped", "bad"] }[store.get("gateway/availability")];
    if (connection.isUp) setTone(gateway, ...(running ?? ["", ""]));
    else setTone(gateway, "No connection to the gateway", "wait");
    gateway.hidden = gateway.textContent === "";
    const facts = [];
    if (connection.isUp) {
      // Not from info.started: the clocks of gateway and browser may differ, or be set meanwhile.
      const [info, health] = [store.get("gateway/info"), store.get("gateway/health")];
      if (info) facts.push(`Version ${info.version}`);
      if (health) facts.push(`up for ${duration(health.uptime_s)}`);
      const known = store.rooms();
      const online = known.filter((room) => availability(room) === "online").length;
      if (cluster()) facts.push(`gateway ${ownGateway()}, ${many(list(cluster().members).length, "gateway", "gateways")} in all`);
      facts.push(`${online} of ${known.length} ${known.length === 1 ? "room" : "rooms"} online`);
    } else if (lostAt) {
      facts.push(`as of ${moment(lostAt)}`);
    }
    setText(about, facts.join(" · "));
  });

  // Each room keeps its card, which only moves.
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
    tools.hidden = known.length < FEWEST_TO_ARRANGE && query === "";
    const view = choices.all.view ?? (known.length > MOST_CARDS ? "list" : "cards");
    rooms.dataset.view = view;
    for (const input of views.querySelectorAll("input")) input.checked = input.value === view;
    const conditions = new Map(known.map((room) => [room, roomCondition(room)]));
    const ranks = ORDERS[order.value][1];
    // The rooms come by name, and sorting keeps that among equals.
    const sorted = [...known].sort((a, b) => ranks.indexOf(conditions.get(a)) - ranks.indexOf(conditions.get(b)));
    const focused = document.activeElement;
    let visible = 0;
    for (const [index, room] of sorted.entries()) {
      if (!cards.has(room)) cards.set(room, roomCard(room));
      const { element } = cards.get(room);
      element.hidden = !CONDITIONS[wanted.value][1].includes(conditions.get(room)) || !`${room} ${roomName(room)} ${model(room)}`.toLowerCase().includes(query);
      visible += element.hidden ? 0 : 1;
      if (rooms.children[index] !== element) rooms.insertBefore(element, rooms.children[index] ?? null);
    }
    // A card that was moved has lost the focus.
    if (focused !== document.activeElement && rooms.contains(focused)) focused.focus({ preventScroll: true });
    for (const option of wanted.options) {
      const [text, taken] = CONDITIONS[option.value];
      setText(option, `${text} (${known.filter((room) => taken.includes(conditions.get(room))).length})`);
    }
    empty.hidden = visible > 0;
    setText(empty, known.length > 0 ? "No room matches." : connection.isUp ? "No rooms yet. Add them under [rooms] in the gateway's configuration." : "Waiting for the gateway…");
  }
  scope.watch(["rooms", "conditions", "gateway/info", "connection"], show);
  scope.onEnd(() => cards.forEach((card) => card.scope.end()));
}

function roomCard(room) {
  const scope = new Scope();
  const base = `room/${room}`;
  const name = el("h2", { class: "clip grow", dir: "auto" });
  const device = el("p", { class: "dim small-text clip" });
  const mic = el("span", { class: "pill" }, icon("mic"), el("span"));
  const volume = el("span", { class: "pill" }, icon("speaker"), el("span"));
  const video = el("span", { class: "pill", "data-tone": "bad" }, icon("video-off"), el("span", {}, "Camera off"));
  scope.watch([`${base}/system/info`, "gateway/info", "connection", "gateway/cluster", "gateways"], () => {
    setText(name, roomName(room));
    name.title = roomName(room);
    setText(device, [`Room ${room}`, model(room), gatewayOf(room)].filter(Boolean).join(" · "));
  });
  const unready = el("span", { class: "pill", "data-tone": "warn" }, "Not ready");
  const old = el("span", { class: "pill as-of", hidden: true });
  const facts = el("div", { class: "facts" }, callPill(scope, room), unready, mic, video, volume, old);
  scope.watch([`${base}/readiness`], () => (unready.hidden = store.get(`${base}/readiness`)?.ok !== false));
  scope.watch(["connection", `${base}/availability`, `${base}/call/state`, `${base}/call/in_meeting`, `${base}/readiness`], () => store.notify("conditions"));
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
  const meeting = el("p", { class: "next small-text" }, icon("calendar"), el("span", { class: "clip grow", dir: "auto" }));
  scope.watch([`${base}/calendar/current`, `${base}/calendar/next`], () => {
    const [now, next] = ["current", "next"].map((which) => store.get(`${base}/calendar/${which}`));
    const [running, coming] = [meetingTimes(now), meetingTimes(next)];
    meeting.hidden = !running && !coming;
    if (running) setText(meeting.lastChild, `${meetingName(now)} until ${clock.format(running.end)}`);
    else if (coming) setText(meeting.lastChild, `${meetingName(next)} at ${coming.day}${clock.format(coming.begin)}`);
  });
  const element = el("a", { class: "card room-card", href: roomHash(room), "data-room": room },
    el("div", { class: "what" }, el("div", { class: "row" }, name, availabilityPill(scope, room)), device),
    problemLine(scope, room),
    facts, meeting);
  markStale(scope, room, element, old);
  return { scope, element };
}
