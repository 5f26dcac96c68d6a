// The dashboard. All it knows of rooms comes through one WebSocket at /ws, so this file is also the
// example of how to use that interface: class Link is all there is to it. What topics there are
// and what they take is the catalogue's, which the gateway puts into the page.
//
// Three rules hold throughout:
// - Nothing is shown before the device says it: a button that was pressed looks pending until its
//   result is there, and the gateway publishes the new state before the result.
// - What comes from devices is text and never markup: elements are made by el(), which has no way
//   to take HTML.
// - Whoever navigates away leaves nothing behind: a page's subscriptions, timers and moving
//   cameras end with its Scope.

const CATALOGUE = JSON.parse(document.getElementById("catalogue").textContent);
const $ = (id) => document.getElementById(id);

// ── Small tools ──────────────────────────────────────────────────────────────────────────────────

/// Makes an element. Attributes that are functions are listeners; false and null leave one out.
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name === "class") made.className = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  setIcon(svg, name);
  return svg;
}
const setIcon = (svg, name) => svg.firstChild.setAttribute("href", `#i-${name}`);

/// Writes text only where it changed: a screen reader reads a live region at every write.
function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function setTone(element, text, tone) {
  setText(element, text);
  element.dataset.tone = tone ?? "";
}

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const short = (value) => (typeof value === "string" ? value : JSON.stringify(value));
/// SHOUTING_WORDS of the device as words.
const words = (text) => String(text ?? "").replaceAll("_", " ").toLowerCase();
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const list = (value) => (Array.isArray(value) ? value : []).filter(isObject);
const byName = new Intl.Collator(undefined, { numeric: true });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockWithSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return `${minutes} min`;
}

/// A value as one level of a topic: these four and NUL would mean something else there.
const level = (value) =>
  String(value).replace(/[%/+#\0]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));

/// Whether an MQTT filter fits a topic.
function matches(filter, topic) {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [place, part] of wanted.entries()) {
    if (part === "#") return true;
    if (place >= levels.length || (part !== "+" && part !== levels[place])) return false;
  }
  return wanted.length === levels.length;
}

// ── The connection ───────────────────────────────────────────────────────────────────────────────

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const PING_EVERY = 20_000;
const PING_WITHIN = 10_000;
const BAD_TOKEN = 4401;

/// A WebSocket to the gateway that comes back by itself.
///
/// Frames are JSON. Each request has an `id`, which its answer carries:
///   {"id":7,"topic":"room/1/audio/volume/set","payload":40} → {"id":7,"topic":"…/result","payload":{…}}
///   {"id":8,"subscribe":["room/1/#"]}                       → all that match, then {"id":8,"subscribed":[…]}
/// States come as {"topic","payload","retain":true} (payload null: it went away), events the same
/// with retain false. A binary frame belongs to the result right before it.
class Link {
  constructor(handlers) {
    this.handlers = handlers;
    this.filters = new Map(); // filter → how many want it
    this.asked = new Map(); // id → what to do with the answer
    this.file = null; // the answer that waits for its bytes
    this.lastId = 0;
    this.wait = FIRST_WAIT;
    this.socket = null;
    this.state = "closed";
  }

  get up() {
    return this.state === "up";
  }

  connect() {
    clearTimeout(this.timer);
    const url = new URL("ws", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    // A browser cannot set a header on a WebSocket, so the token goes into the query; the gateway
    // never logs it.
    const token = sessionStorage.getItem("token");
    url.search = token ? new URLSearchParams({ token }) : "";
    this.tell("connecting");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    // Each handler asks whether it is still about the socket of now.
    const current = (handle) => (event) => this.socket === socket && handle(event);
    socket.onopen = current(() => this.opened());
    socket.onmessage = current((event) => this.received(event.data));
    socket.onclose = current((event) => this.closed(event));
    this.socket = socket;
  }

  opened() {
    this.handlers.fresh();
    // The answer comes after the last state: from then on what was not told is gone. An opened
    // socket alone says nothing, since a wrong token is told by a close after it.
    this.ask({ subscribe: [...this.filters.keys()] }).then((answer) => {
      if (!answer.subscribed) return;
      this.wait = FIRST_WAIT;
      this.tell("up");
      this.handlers.complete();
      this.watch();
    });
  }

  /// A connection can be dead without anybody noticing: a ping that is not answered shows it.
  watch() {
    const socket = this.socket;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = setTimeout(() => socket === this.socket && this.drop(), PING_WITHIN);
      this.ask({ ping: true }).then((answer) => answer.pong && socket === this.socket && this.watch());
    }, PING_EVERY);
  }

  /// Gives a dead connection up without waiting for its close.
  drop() {
    const socket = this.socket;
    this.closed({ code: 1006, reason: "" });
    socket.close();
  }

  closed({ code, reason }) {
    clearTimeout(this.timer);
    this.socket = null;
    this.takeFile(null);
    const unknown = { ok: false, error: { code: "connection_lost", message: "the connection to the gateway broke before the result came" } };
    for (const answer of this.asked.values()) answer({ payload: unknown });
    this.asked.clear();
    if (code === BAD_TOKEN) return this.tell("refused", { reason });
    // Not all at once after a gateway's restart.
    const wait = this.wait * (0.75 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    this.timer = setTimeout(() => this.connect(), wait);
    this.tell("down", { reason, until: Date.now() + wait });
  }

  /// Tries at once instead of at the end of the wait.
  now() {
    if (this.state === "down") this.connect();
  }

  tell(state, about = {}) {
    this.state = state;
    this.handlers.state(state, about);
  }

  received(data) {
    if (data instanceof ArrayBuffer) return this.takeFile(data);
    // Of a file that is too large for this connection there is no binary frame, only its URL.
    this.takeFile(null);
    const frame = JSON.parse(data);
    const answer = this.asked.get(frame.id);
    if (answer) {
      this.asked.delete(frame.id);
      if (frame.payload?.ok && frame.payload.body?.content_type) {
        this.file = (bytes) => answer({ ...frame, bytes });
      } else {
        answer(frame);
      }
    } else if (frame.retain) {
      this.handlers.retained(frame.topic, frame.payload);
    } else if (frame.topic) {
      this.handlers.event(frame.topic, frame.payload);
    }
  }

  /// Completes the result that waits for a file's bytes, if one does.
  takeFile(bytes) {
    this.file?.(bytes);
    this.file = null;
  }

  /// Sends a request; its answer is the promise's value, which is never rejected.
  ask(request) {
    return new Promise((resolve) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        return resolve({ payload: { ok: false, error: { code: "not_connected", message: "there is no connection to the gateway" } } });
      }
      const id = ++this.lastId;
      this.asked.set(id, resolve);
      this.socket.send(JSON.stringify({ id, ...request }));
    });
  }

  /// Sends a command; gives its result, and the bytes of a file as `result.bytes`.
  async command(topic, payload) {
    const answer = await this.ask({ topic, payload });
    const result = answer.payload ?? { ok: false, error: answer.error };
    return answer.bytes ? { ...result, bytes: answer.bytes } : result;
  }

  /// Subscribes until the function that this gives is called.
  want(filters) {
    const count = (filter, change) => {
      const before = this.filters.get(filter) ?? 0;
      if (before + change > 0) this.filters.set(filter, before + change);
      else this.filters.delete(filter);
      return before;
    };
    const fresh = filters.filter((filter) => count(filter, 1) === 0);
    if (fresh.length > 0) this.ask({ subscribe: fresh });
    return () => {
      const gone = filters.filter((filter) => count(filter, -1) === 1);
      if (gone.length === 0) return;
      this.ask({ unsubscribe: gone });
      // Nobody keeps these current any more.
      store.keep((topic) => [...this.filters.keys()].some((filter) => matches(filter, topic)));
    };
  }
}

// ── What is known ────────────────────────────────────────────────────────────────────────────────

/// The newest value of each retained topic, and who wants to know of changes. A watcher runs once
/// a frame at most, however many of its topics changed.
const store = {
  values: new Map(),
  told: null, // the topics told since the connection opened, until all were
  watchers: new Map(), // topic, or prefix ending in "/" → Set of watchers
  due: new Set(),

  get(topic) {
    return this.values.get(topic);
  },

  set(topic, value) {
    this.told?.add(topic);
    const known = this.values.has(topic);
    if (value === null) this.values.delete(topic);
    else this.values.set(topic, value);
    if (topic.endsWith("/availability")) {
      this.touch("availability");
      if (known !== this.values.has(topic)) this.touch("rooms");
    }
    this.touch(topic);
    for (let end = topic.lastIndexOf("/"); end > 0; end = topic.lastIndexOf("/", end - 1)) {
      this.touch(topic.slice(0, end + 1), topic);
    }
  },

  keep(wanted) {
    for (const topic of [...this.values.keys()]) if (!wanted(topic)) this.set(topic, null);
  },

  touch(key, topic) {
    for (const watcher of this.watchers.get(key) ?? []) {
      watcher.changed.add(topic);
      this.plan(watcher);
    }
  },

  plan(watcher) {
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

  /// Does `work` now and at every change of these; gives what ends it.
  watch(keys, work) {
    // Devices say anything: what one panel stumbles over must not stop the others.
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

  rooms() {
    const rooms = [...this.values.keys()].filter((topic) => matches("room/+/availability", topic)).map((topic) => topic.split("/")[1]);
    return rooms.sort((a, b) => byName.compare(roomName(a), roomName(b)));
  },
};

const roomName = (room) => String(store.get("gateway/info")?.rooms?.[room] || store.get(`room/${room}/system/info`)?.systemName || `Room ${room}`);

/// What belongs to the page that is shown and ends with it.
class Scope {
  constructor() {
    this.ends = [];
  }
  onEnd(end) {
    this.ends.push(end);
  }
  watch(keys, run) {
    this.onEnd(store.watch(keys, run));
  }
  want(...filters) {
    this.onEnd(link.want(filters));
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
    for (const end of this.ends.splice(0).reverse()) end();
  }
}

// ── Commands ─────────────────────────────────────────────────────────────────────────────────────

const LONGEST_LOG = 300;
/// A failure is told twice, as the result and as the room's event; so long they are thought one.
const SAME_FAILURE = 10_000;
const log = { entries: [], lastKey: 0 };

function logged(entry) {
  log.entries.unshift({ key: ++log.lastKey, at: new Date(), ...entry });
  log.entries.length = Math.min(log.entries.length, LONGEST_LOG);
  store.touch("log");
  return log.entries[0];
}

/// A payload for the log, without what must not be read over a shoulder.
function shown(payload) {
  if (payload === undefined || payload === "") return "";
  const text = short(payload);
  return text.replace(/("(?:password|pin)"\s*:\s*)"(?:[^"\\]|\\.)*"/gi, '$1"•••"');
}

/// Sends a command and writes it to the log. `quiet` leaves errors to the caller.
async function send(room, command, payload, { quiet = false } = {}) {
  const entry = logged({ room, command, payload: shown(payload), own: true, pending: true });
  const begun = performance.now();
  const result = await link.command(`room/${room}/${command}`, payload);
  const { ok, error = {}, took_ms: took } = result;
  Object.assign(entry, { pending: false, ok, code: error.code, message: error.message, took, whole: performance.now() - begun });
  store.touch("log");
  // A newer set of the same state won: that is what was wanted.
  if (!ok && !quiet && error.code !== "superseded") {
    toast(`${roomName(room)}: ${capital(error.message ?? "it failed")}`, `${command} · ${error.code}`);
  }
  return { ...result, whole: entry.whole };
}

/// Sends a command for a control, which looks pending until the result is there.
async function press(control, room, command, payload) {
  if (control.ariaBusy === "true") return null;
  control.setAttribute("aria-busy", "true");
  const result = await send(room, command, payload);
  control.removeAttribute("aria-busy");
  return result;
}

function eventHappened(topic, about) {
  const [, room, , name] = topic.split("/");
  // On the room's own page the call is to be seen already.
  if (name === "incoming_call" && location.hash !== roomHash(room)) {
    toast(el("a", { href: roomHash(room) }, `${roomName(room)} is being called`), about.address ?? "", "good");
  }
  if (name !== "command_failed") return;
  const own = log.entries.find((entry) =>
    entry.own && entry.room === room && entry.command === about.command && !entry.told &&
    (entry.pending || (entry.message === about.message && Date.now() - entry.at < SAME_FAILURE)));
  if (own) own.told = true;
  else logged({ room, command: about.command, payload: "", own: false, ok: false, code: about.code, message: about.message });
}

const roomHash = (room) => `#/room/${encodeURIComponent(room)}`;

function toast(text, detail, tone = "bad") {
  const close = el("button", { class: "quiet small square", type: "button", "aria-label": "Close this message", click: () => made.remove() }, icon("close"));
  const made = el("div", { class: "toast", "data-tone": tone }, el("div", {}, el("b", {}, text), el("span", { class: "dim small-text" }, detail)), close);
  $("toasts").append(made);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => made.remove(), 8000);
}

function confirmed(title, text, yes) {
  const dialog = $("confirm");
  setText($("confirm-title"), title);
  setText($("confirm-text"), text);
  setText($("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

// ── The bar: connection, token, rights ───────────────────────────────────────────────────────────

const access = { readOnly: false };

const link = new Link({
  fresh: () => (store.told = new Set()),
  retained: (topic, value) => store.set(topic, value),
  event: eventHappened,
  complete() {
    const told = store.told;
    store.told = null;
    store.keep((topic) => told.has(topic));
    checkAccess();
  },
  state: showLink,
});

let countdown;
function showLink(state, { reason, until }) {
  clearInterval(countdown);
  const label = $("link");
  document.body.dataset.link = state === "up" ? "up" : "down";
  $("retry").hidden = state !== "down";
  $("forget").hidden = !sessionStorage.getItem("token") || state === "refused";
  if (state === "up") {
    setTone(label, "Connected", "good");
  } else if (state === "connecting") {
    setTone(label, "Connecting…", "wait");
  } else if (state === "refused") {
    setTone(label, "Token needed", "bad");
    askForToken();
  } else {
    const say = () => setTone(label, `Reconnecting in ${Math.max(1, Math.round((until - Date.now()) / 1000))} s`, "bad");
    say();
    countdown = setInterval(say, 1000);
  }
  showNotice(reason);
  store.touch("link");
}

/// What holds for the whole page, in words; the seconds in the bar are not for screen readers.
function showNotice(reason) {
  let text = "";
  if (link.state === "down") text = `The connection to the gateway is lost${reason ? ` (${reason})` : ""}. What is shown is how it was; the page reconnects by itself.`;
  else if (link.up && access.readOnly) text = "This token may only look: everything is shown, and nothing can be pressed.";
  // Kept while it tries again, which would make the page jump.
  if (link.state === "connecting" && !$("notice").hidden) return;
  $("notice").hidden = text === "";
  setText($("notice"), text);
}

function askForToken() {
  const dialog = $("token");
  const input = $("token-input");
  if (sessionStorage.getItem("token")) setText($("token-why"), "The gateway does not take that token, or no longer. Tokens stand below [[http.token]] in its configuration.");
  sessionStorage.removeItem("token");
  input.value = "";
  if (!dialog.open) dialog.showModal();
}

/// Whether this token may send anything is seen by asking for something that costs the device
/// nothing: who is logged in, which the gateway knows.
async function checkAccess() {
  const room = store.rooms().find((each) => store.get(`room/${each}/availability`) === "online");
  if (room) {
    const result = await link.command(`room/${room}/session/get`);
    if (link.up) access.readOnly = result.error?.code === "forbidden";
  }
  showNotice();
  store.touch("link");
}

// ── Rooms ────────────────────────────────────────────────────────────────────────────────────────

const CALL_STATES = new Map(Object.entries({ idle: ["No call", ""], ringing: ["Ringing", "warn"], dialing: ["Dialling", "warn"], connected: ["In a call", "good"], held: ["On hold", "warn"] }));

/// Keeps a pill about the availability.
function availabilityPill(scope, room) {
  const pill = el("span", { class: "pill" });
  scope.watch([`room/${room}/availability`], () => {
    const online = store.get(`room/${room}/availability`) === "online";
    setTone(pill, online ? "Online" : "Offline", online ? "good" : "bad");
  });
  return pill;
}

function callPill(scope, room) {
  const pill = el("span", { class: "pill" });
  const at = `room/${room}`;
  scope.watch([`${at}/availability`, `${at}/call/state`, `${at}/call/in_meeting`], () => {
    // What a device said before it went away says nothing of its calls now.
    const state = store.get(`${at}/availability`) === "online" ? store.get(`${at}/call/state`) : undefined;
    const [text, tone] = CALL_STATES.get(state) ?? ["", ""];
    if (state === "idle" && store.get(`${at}/call/in_meeting`) === true) setTone(pill, "In a meeting", "accent");
    else setTone(pill, text, tone);
    pill.hidden = text === "";
  });
  return pill;
}

function problemBox(scope, room) {
  const box = el("p", { class: "problem", hidden: true });
  scope.watch([`room/${room}/problem`], () => {
    const problem = store.get(`room/${room}/problem`);
    const code = problem?.code ?? "none";
    box.hidden = code === "none";
    setText(box, code === "none" ? "" : `${capital(problem.message ?? words(code))} (${code})`);
  });
  return box;
}

function model(room) {
  const info = store.get(`room/${room}/system/info`);
  return [info?.model ?? info?.modelName, info?.softwareVersion ?? info?.buildVersion].filter(Boolean).join(" · ");
}

/// When a meeting is; nothing where there is none. The guide's times are seconds, some devices
/// send milliseconds.
function meetingTimes(meeting) {
  if (!Number.isFinite(meeting?.startTime)) return null;
  const begin = new Date(meeting.startTime > 1e11 ? meeting.startTime : meeting.startTime * 1000);
  const end = new Date(+begin + (Number(meeting.duration) || 0) * 1000);
  if (Number.isNaN(+begin) || Number.isNaN(+end)) return null;
  const today = begin.toDateString() === new Date().toDateString();
  return { begin, end, day: today ? "" : `${weekday.format(begin)}, ` };
}
const meetingName = (meeting) => (meeting.privateMeeting ? "Private meeting" : meeting.subject || "Meeting");

function overview(scope, main) {
  document.title = "Rooms – poly2mqtt";
  scope.want("room/+/video/muted", "room/+/audio/muted", "room/+/audio/volume", "room/+/call/in_meeting", "room/+/calendar/current", "room/+/calendar/next");
  const gateway = el("span", { class: "status" });
  const about = el("span", { class: "dim small-text" });
  const filter = el("input", { type: "search", placeholder: "Find a room", "aria-label": "Find a room", input: () => show() });
  const rooms = el("div", { class: "rooms" });
  const nothing = el("p", { class: "card empty", hidden: true });
  main.append(
    el("div", { class: "row spread" },
      el("div", { class: "head" }, el("h1", {}, "Rooms"), el("div", { class: "summary" }, gateway, about)),
      el("div", {}, filter)),
    rooms, nothing);

  scope.watch(["gateway/availability", "gateway/info", "gateway/health", "availability"], () => {
    const running = store.get("gateway/availability") === "online";
    const info = store.get("gateway/info");
    setTone(gateway, running ? "Gateway running" : "Gateway stopped", running ? "good" : "bad");
    const facts = [];
    if (info) facts.push(`Version ${info.version}`, `up for ${duration((Date.now() - Date.parse(info.started)) / 1000)}`);
    const known = store.rooms();
    const online = known.filter((room) => store.get(`room/${room}/availability`) === "online").length;
    facts.push(`${online} of ${known.length} ${known.length === 1 ? "room" : "rooms"} online`);
    setText(about, facts.join(" · "));
  });

  // Cards are made once a room and moved about, so that focus stays where it is.
  const cards = new Map();
  function show() {
    const known = store.rooms();
    for (const [room, card] of cards) {
      if (known.includes(room)) continue;
      card.scope.end();
      card.element.remove();
      cards.delete(room);
    }
    const sought = filter.value.trim().toLowerCase();
    filter.parentElement.hidden = known.length < 7 && sought === "";
    let shownRooms = 0;
    for (const room of known) {
      if (!cards.has(room)) cards.set(room, roomCard(room));
      const { element } = cards.get(room);
      element.hidden = !`${room} ${roomName(room)} ${model(room)}`.toLowerCase().includes(sought);
      shownRooms += element.hidden ? 0 : 1;
      if (rooms.children[known.indexOf(room)] !== element) rooms.insertBefore(element, rooms.children[known.indexOf(room)] ?? null);
    }
    nothing.hidden = shownRooms > 0;
    setText(nothing, known.length > 0 ? "No room is called that." : link.up ? "There are no rooms here yet. They stand below [rooms] in the gateway's configuration." : "Waiting for the gateway…");
  }
  scope.watch(["rooms", "gateway/info", "link"], show);
  scope.onEnd(() => cards.forEach((card) => card.scope.end()));
}

function roomCard(room) {
  const scope = new Scope();
  const at = `room/${room}`;
  const name = el("h2", { class: "clip grow" });
  const device = el("p", { class: "dim small-text clip" });
  const mic = el("span", { class: "pill" }, icon("mic"), el("span"));
  const volume = el("span", { class: "pill" }, icon("speaker"), el("span"));
  const video = el("span", { class: "pill", "data-tone": "bad" }, icon("video-off"), el("span", {}, "Camera off"));
  scope.watch([`${at}/system/info`, "gateway/info"], () => {
    setText(name, roomName(room));
    setText(device, [`Room ${room}`, model(room)].filter(Boolean).join(" · "));
  });
  const facts = el("div", { class: "facts" }, callPill(scope, room), mic, video, volume);
  scope.watch([`${at}/availability`], () => facts.toggleAttribute("data-stale", store.get(`${at}/availability`) !== "online"));
  scope.watch([`${at}/audio/muted`, `${at}/audio/volume`, `${at}/video/muted`], () => {
    const muted = store.get(`${at}/audio/muted`);
    mic.hidden = muted === undefined;
    mic.dataset.tone = muted ? "bad" : "";
    setIcon(mic.firstChild, muted ? "mic-off" : "mic");
    setText(mic.lastChild, muted ? "Muted" : "Mic on");
    const level = store.get(`${at}/audio/volume`);
    volume.hidden = level === undefined;
    setText(volume.lastChild, `${level}`);
    volume.title = "Volume";
    video.hidden = store.get(`${at}/video/muted`) !== true;
  });
  const meeting = el("p", { class: "next small-text" }, icon("calendar"), el("span", { class: "clip grow" }));
  scope.watch([`${at}/calendar/current`, `${at}/calendar/next`], () => {
    const [now, next] = ["current", "next"].map((which) => store.get(`${at}/calendar/${which}`));
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

// ── One room ─────────────────────────────────────────────────────────────────────────────────────

let lastRoom; // which the console then offers first

function roomPage(scope, main, room) {
  lastRoom = room;
  const at = `room/${room}/`;
  scope.want(`${at}#`);
  const name = el("h1", { class: "clip" });
  const device = el("span", { class: "dim" });
  const columns = el("fieldset", { class: "columns", "aria-label": "Controls" });
  const lost = el("section", { class: "card empty", hidden: true }, "The gateway knows no such room.");
  scope.watch([`${at}system/info`, "gateway/info"], () => {
    setText(name, roomName(room));
    document.title = `${roomName(room)} – poly2mqtt`;
    setText(device, [`Room ${room}`, model(room)].filter(Boolean).join(" · "));
  });
  // One place decides whether anything can be pressed.
  scope.watch(["link", `${at}availability`], () => {
    columns.disabled = !link.up || access.readOnly || store.get(`${at}availability`) !== "online";
    lost.hidden = !link.up || store.get(`${at}availability`) !== undefined;
  });
  const column = (...panels) => el("div", { class: "column" }, ...panels.map((panel) => panel(scope, room, columns)));
  columns.append(column(soundPanel, callPanel, picturePanel), column(cameraPanel, modesPanel), column(calendarPanel, systemPanel));
  main.append(
    el("div", { class: "head" },
      el("div", {}, el("a", { class: "back", href: "#/" }, icon("left"), "All rooms")),
      el("div", { class: "row" }, name, availabilityPill(scope, room), callPill(scope, room)),
      el("div", { class: "row" }, device),
      problemBox(scope, room)),
    lost, columns, commandsPanel(scope, room), statesPanel(scope, room));
}

function panel(title, symbol, ...content) {
  return el("section", { class: "card panel", "aria-label": title }, el("header", {}, el("h2", {}, icon(symbol), title)), ...content);
}

/// A switch that shows a state and asks for its opposite.
function toggle(scope, room, { state, command, title, about, read = (value) => value }) {
  const note = el("small", {}, about);
  const control = el("button", { class: "toggle", type: "button", role: "switch", "data-command": command, click: () => press(control, room, command, control.ariaChecked !== "true") },
    el("span", {}, title, note), el("i", { "aria-hidden": "true" }));
  scope.watch([`room/${room}/${state}`], () => {
    const value = read(store.get(`room/${room}/${state}`));
    control.hidden = value === undefined;
    control.setAttribute("aria-checked", value === true);
  });
  return control;
}

function soundPanel(scope, room) {
  const at = `room/${room}/`;
  // What is pressed asks for a value and not for "the other one": two people pressing at once both
  // get what they saw.
  const mute = ({ state, command, title, symbol, on, off }) => {
    const says = el("small", { "aria-live": "polite" });
    const sign = icon(symbol);
    const tile = el("button", { class: "tile", type: "button", "data-command": command, click: () => press(tile, room, command, tile.ariaPressed !== "true") }, sign, el("span", {}, el("b", {}, title), says));
    scope.watch([at + state], () => {
      const muted = store.get(at + state);
      tile.setAttribute("aria-pressed", muted === true);
      tile.setAttribute("aria-label", `Mute ${title.toLowerCase()}`);
      tile.dataset.tone = muted === undefined ? "" : muted ? "bad" : "good";
      setIcon(sign, muted ? `${symbol}-off` : symbol);
      setText(says, muted === undefined ? "Unknown" : muted ? on : off);
    });
    return tile;
  };
  const locked = el("p", { class: "dim small-text", hidden: true }, "The far end keeps the microphone muted.");
  scope.watch([`${at}audio/mute_locked`], () => (locked.hidden = store.get(`${at}audio/mute_locked`) !== true));
  return panel("Sound and picture", "speaker",
    el("div", { class: "tiles" },
      mute({ state: "audio/muted", command: "audio/muted/set", title: "Microphone", symbol: "mic", on: "Muted", off: "On" }),
      mute({ state: "video/muted", command: "video/muted/set", title: "Camera", symbol: "video", on: "Picture off", off: "On" })),
    locked,
    volumeRow(scope, room));
}

function volumeRow(scope, room) {
  const topic = `room/${room}/audio/volume`;
  const slider = el("input", { class: "grow", type: "range", min: 0, max: 100, step: 1, "aria-label": "Volume", "data-command": "audio/volume/set" });
  const output = el("output", { "aria-label": "Volume of the device" });
  const row = el("div", { class: "volume" }, step("down", "minus", "Quieter"), slider, step("up", "plus", "Louder"), output);
  function step(way, symbol, label) {
    const button = el("button", { class: "square", type: "button", "aria-label": label, click: () => press(button, room, `audio/volume/${way}`, 5) }, icon(symbol));
    return button;
  }
  // While dragging one set is under way and the newest value waits; values between are skipped.
  let held = false;
  let waiting = null;
  let busy = false;
  async function set(value) {
    waiting = value;
    if (busy) return;
    busy = true;
    while (waiting !== null) {
      const next = waiting;
      waiting = null;
      await send(room, "audio/volume/set", next);
    }
    busy = false;
    show();
  }
  function show() {
    const volume = store.get(topic);
    row.hidden = volume === undefined;
    row.toggleAttribute("data-pending", busy);
    slider.style.setProperty("--level", `${volume ?? 0}%`);
    setText(output, volume ?? "");
    if (!busy && !held) slider.value = volume ?? 0;
  }
  slider.addEventListener("input", () => {
    set(slider.valueAsNumber);
    show();
  });
  slider.addEventListener("pointerdown", () => (held = true));
  for (const event of ["pointerup", "pointercancel", "blur"]) {
    slider.addEventListener(event, () => {
      held = false;
      show();
    });
  }
  scope.watch([topic], show);
  return row;
}

function callPanel(scope, room) {
  const at = `room/${room}/`;
  const address = el("input", { name: "address", autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "Number or address", "aria-label": "Whom to call", list: "favorites" });
  const favorites = el("datalist", { id: "favorites" });
  const dial = el("button", { class: "primary", type: "submit" }, icon("phone"), "Call");
  const form = el("form", { class: "row", submit: async (event) => {
    event.preventDefault();
    if (address.value.trim() === "") return address.focus();
    const result = await press(dial, room, "call/dial", { address: address.value.trim() });
    if (result?.ok) address.value = "";
  } }, el("div", { class: "grow" }, address), dial);
  scope.watch([`${at}directory/favorites`], () => {
    const numbers = list(store.get(`${at}directory/favorites`)?.entries).flatMap((entry) =>
      list(entry.devices).flatMap((device) => list(device.addressList)).map(({ number }) => el("option", { value: number }, entry.displayName ?? "")));
    favorites.replaceChildren(...numbers);
  });

  const calls = el("ul", { class: "calls", "aria-label": "Calls", "aria-live": "polite" });
  const hangUp = el("button", { class: "danger", type: "button", click: () => press(hangUp, room, "call/hangup") }, icon("hangup"), "Hang up");
  const keysOpen = el("button", { type: "button", "aria-expanded": "false", click: () => showKeys(keys.hidden) }, "Keypad");
  const inCall = el("div", { class: "row" }, hangUp, keysOpen);
  const keys = el("div", { class: "pad-keys", hidden: true, role: "group", "aria-label": "Keypad" },
    ..."123456789*0#".split("").map((key) => {
      const button = el("button", { type: "button", "aria-label": key === "*" ? "star" : key === "#" ? "hash" : key, click: () => send(room, "audio/dtmf/play", key) }, key);
      return button;
    }));
  function showKeys(open) {
    keys.hidden = !open;
    keysOpen.setAttribute("aria-expanded", open);
  }

  let drawn = "";
  scope.watch([`${at}calls`, `${at}call/state`], () => {
    const connections = list(store.get(`${at}calls`)).flatMap((conference) =>
      list(conference.connections)
        .filter(({ state }) => !["INACTIVE", "DISCONNECTED"].includes(String(state).toUpperCase()))
        .map(({ id, address, state, incoming, answerable }) => ({ id, address, state, incoming, ringing: conference.id === "PENDING" || answerable === true })));
    const up = !["idle", "ringing", undefined].includes(store.get(`${at}call/state`));
    inCall.hidden = !up;
    if (!up) showKeys(false);
    form.hidden = up;
    // Buttons stay the same elements while nothing about them changed, and keep the focus.
    if (drawn === JSON.stringify(connections)) return;
    drawn = JSON.stringify(connections);
    calls.hidden = connections.length === 0;
    calls.replaceChildren(...connections.map((connection) => callLine(room, connection)));
  });
  return panel("Call", "phone", calls, inCall, keys, form, favorites);
}

function callLine(room, { id, address, state, incoming, ringing }) {
  const says = ringing ? "is calling" : `${words(state)}${incoming ? ", incoming" : ""}`;
  const line = el("li", { class: ringing ? "ringing" : "" }, el("div", { class: "grow" }, el("div", { class: "clip" }, el("b", {}, address ?? "Unknown")), el("small", { class: "dim" }, says)));
  const act = (kind, verb, text, symbol) => {
    const button = el("button", { class: kind, type: "button", "data-verb": verb, click: () => press(button, room, `call/connection/${level(id)}/${verb}`) }, icon(symbol), text);
    return button;
  };
  if (ringing) line.append(act("answer", "answer", "Answer", "phone"), act("danger", "reject", "Reject", "hangup"));
  return line;
}

/// Moves a camera while something is pressed. Whatever happens, a start is followed by a stop; if
/// the connection breaks meanwhile the gateway stops the camera by itself.
class Mover {
  constructor(room) {
    this.room = room;
    this.button = null;
  }
  start(button) {
    if (this.button === button) return;
    this.stop();
    this.button = button;
    button.setAttribute("aria-pressed", "true");
    send(this.room, "camera/move", button.dataset.direction);
  }
  stop() {
    if (!this.button) return;
    this.button.setAttribute("aria-pressed", "false");
    this.button = null;
    send(this.room, "camera/stop", undefined, { quiet: !link.up });
  }
}

function cameraPanel(scope, room, controls) {
  const at = `room/${room}/`;
  const mover = new Mover(room);
  const stop = () => mover.stop();
  const arrow = (direction, symbol, label) => {
    // Pressing one button takes the focus from another, whose blur must not end the new press.
    const release = () => mover.button === button && stop();
    const button = el("button", {
      type: "button", "data-direction": direction, "aria-label": label, "aria-pressed": "false",
      pointerdown: (event) => {
        if (event.button === 0) mover.start(button);
      },
      pointerup: release, pointercancel: release, pointerleave: release, blur: release,
      // Holding a key down repeats it: only the first press counts.
      keydown: (event) => {
        if (event.key === " " || event.key === "Enter") {
          event.preventDefault();
          if (!event.repeat) mover.start(button);
        }
      },
      keyup: (event) => (event.key === " " || event.key === "Enter") && release(),
      // A long press on a phone would open a menu.
      contextmenu: (event) => event.preventDefault(),
    }, icon(symbol));
    return button;
  };
  const arrows = { ArrowUp: arrow("up", "up", "Move up"), ArrowLeft: arrow("left", "left", "Move left"), ArrowRight: arrow("right", "right", "Move right"), ArrowDown: arrow("down", "down", "Move down") };
  const gap = () => el("span");
  const pad = el("div", {
    class: "pad", role: "group", "aria-label": "Move the camera while pressed; arrow keys work too",
    keydown: (event) => {
      if (!(event.key in arrows)) return;
      event.preventDefault();
      const button = arrows[event.key];
      button.focus();
      if (!event.repeat && !button.disabled) mover.start(button);
    },
    keyup: (event) => event.key in arrows && stop(),
  }, gap(), arrows.ArrowUp, gap(), arrows.ArrowLeft, el("span", { class: "middle" }, icon("video")), arrows.ArrowRight, gap(), arrows.ArrowDown, gap());
  const zoom = el("div", { class: "zoom", role: "group", "aria-label": "Zoom while pressed" }, arrow("zoom_in", "plus", "Zoom in"), el("span", { "aria-hidden": "true" }, "Zoom"), arrow("zoom_out", "minus", "Zoom out"));
  for (const [target, event] of [[window, "blur"], [window, "pagehide"], [document, "visibilitychange"]]) scope.listen(target, event, stop);
  // A disabled button is told of no release.
  scope.watch(["link", `${at}availability`], () => controls.disabled && stop());
  scope.onEnd(stop);

  const tracking = toggle(scope, room, {
    state: "camera/near/selected_people", command: "camera/tracking/set", title: "Tracking", about: "The camera follows who speaks",
    read: (camera) => (isObject(camera) && camera.trackable !== false ? /^(on|true)$/i.test(camera.trackingstate) : undefined),
  });
  return panel("Camera", "video", el("div", { class: "camera" }, pad, zoom), presets(scope, room), tracking);
}

function presets(scope, room) {
  const at = `room/${room}/`;
  const grid = el("div", { class: "presets", role: "group", "aria-label": "Presets", "data-mode": "activate" });
  const hint = el("p", { class: "dim small-text" });
  const modes = { activate: ["Recall", "Press a preset to go there."], store: ["Store", "Press a preset to store the camera's place in it."], clear: ["Clear", "Press a preset to forget it."] };
  const choose = (mode) => {
    grid.dataset.mode = mode;
    setText(hint, modes[mode][1]);
    for (const input of segments.querySelectorAll("input")) input.checked = input.value === mode;
  };
  const segments = el("div", { class: "segments", role: "radiogroup", "aria-label": "What pressing a preset does" },
    ...Object.entries(modes).map(([mode, [text]]) => el("label", {}, el("input", { type: "radio", name: "preset-mode", value: mode, change: () => choose(mode) }), el("span", {}, text))));
  const buttons = [];
  for (let index = 1; index <= 10; index += 1) {
    const button = el("button", { type: "button", "data-preset": index, click: async () => {
      const mode = grid.dataset.mode;
      const result = await press(button, room, `camera/preset/${index}/${mode}`);
      // Storing and clearing are for once; a second press would hardly be meant so.
      if (result?.ok && mode !== "activate") choose("activate");
    } }, String(index));
    buttons.push(button);
  }
  grid.append(...buttons);
  scope.watch([`${at}camera/presets`], () => {
    const known = list(store.get(`${at}camera/presets`));
    for (const button of buttons) {
      const stored = known.find((preset) => String(preset.index) === button.dataset.preset)?.stored === true;
      button.dataset.stored = stored;
      button.setAttribute("aria-label", `Preset ${button.dataset.preset}, ${stored ? "stored" : "empty"}`);
    }
  });
  choose("activate");
  return el("div", { class: "stack" }, el("div", { class: "row spread" }, el("h3", {}, "Presets"), segments), grid, hint);
}

function picturePanel(scope, room) {
  const sources = { near: "Room", far: "Far end", content: "Content" };
  let source = "near";
  let url = null;
  const nothing = el("span", {}, icon("picture"), el("span", {}, "No picture asked for yet"));
  const caption = el("figcaption", { hidden: true });
  const image = el("img", { alt: "", hidden: true });
  const figure = el("figure", { class: "picture" }, nothing, image, caption);
  const clear = () => {
    if (url) URL.revokeObjectURL(url);
    url = null;
  };
  const segments = el("div", { class: "segments grow", role: "radiogroup", "aria-label": "Which picture" },
    ...Object.entries(sources).map(([value, text]) => el("label", {}, el("input", { type: "radio", name: "source", value, checked: value === source, change: () => { source = value; refresh(); } }), el("span", {}, text))));
  const button = el("button", { class: "small square", type: "button", "aria-label": "Take a new picture", title: "Take a new picture", click: () => refresh() }, icon("refresh"));
  async function refresh() {
    const asked = source;
    const result = await press(button, room, `camera/snapshot/${asked}/get`);
    if (!result || asked !== source) return;
    clear();
    const there = result.ok && result.bytes;
    if (there) {
      url = URL.createObjectURL(new Blob([result.bytes], { type: result.body.content_type }));
      image.src = url;
      image.alt = `${sources[asked]}, as the camera sees it`;
      setText(caption, clockWithSeconds.format(new Date()));
    }
    setText(nothing.lastChild, result.ok ? "The device has no picture" : "The device gave no picture");
    image.hidden = caption.hidden = !there;
    nothing.hidden = there;
  }
  scope.onEnd(clear);
  return panel("Picture", "picture", el("div", { class: "row" }, segments, button), figure);
}

function calendarPanel(scope, room) {
  const at = `room/${room}/`;
  const lines = el("div", { class: "lines" });
  const nothing = el("p", { class: "dim" });
  const status = el("span", { class: "status" });
  const join = (meeting, running) => {
    const button = el("button", { class: running ? "primary small" : "small", type: "button", "aria-label": `Join ${meetingName(meeting)}`, click: () => press(button, room, `calendar/meeting/${level(meeting.id)}/dial`) }, "Join");
    return button;
  };
  let drawn = "";
  const show = () => {
    const now = Date.now();
    const current = store.get(`${at}calendar/current`)?.id;
    const meetings = list(store.get(`${at}calendar/meetings`))
      .filter((meeting) => meeting.canceled !== true && meetingTimes(meeting)?.end > now)
      .sort((a, b) => a.startTime - b.startTime).slice(0, 6);
    const calendar = store.get(`${at}calendar/status`);
    setTone(status, calendar ? capital(words(calendar)) : "", /online|up|registered/i.test(calendar) ? "good" : "warn");
    status.hidden = calendar === undefined;
    nothing.hidden = meetings.length > 0;
    setText(nothing, "Nothing planned.");
    const facts = JSON.stringify([meetings, current]);
    if (facts === drawn) return;
    drawn = facts;
    lines.replaceChildren(...meetings.map((meeting) => {
      const { begin, end, day } = meetingTimes(meeting);
      const running = meeting.id === current;
      const where = [`${running ? "Now · " : day}${clock.format(begin)} – ${clock.format(end)}`, meeting.organizer].filter(Boolean).join(" · ");
      return el("div", { class: running ? "meeting now" : "meeting" },
        el("div", {}, el("b", {}, meetingName(meeting)), el("span", { class: "dim small-text" }, where)),
        meeting.canDial ? join(meeting, running) : null);
    }));
  };
  scope.watch([`${at}calendar/meetings`, `${at}calendar/current`, `${at}calendar/status`], show);
  scope.every(30_000, show);
  const made = panel("Calendar", "calendar", lines, nothing);
  made.firstChild.append(status);
  return made;
}

function modesPanel(scope, room) {
  const at = `room/${room}/`;
  const provider = el("span", { class: "pill" });
  scope.watch([`${at}system/mode`], () => {
    const mode = store.get(`${at}system/mode`);
    const name = mode?.app ?? mode?.activePersona;
    provider.hidden = !name;
    // Where another provider runs the device refuses most commands: worth seeing before pressing.
    setTone(provider, name ?? "", name === "Poly" ? "" : "warn");
  });
  const content = el("button", { class: "small", type: "button", click: () => press(content, room, "collaboration/end") }, "End");
  const collaboration = el("div", { class: "row", hidden: true }, el("span", { class: "grow" }, "Collaboration session"), content);
  scope.watch([`${at}collaboration`], () => (collaboration.hidden = store.get(`${at}collaboration`)?.sessionState !== "ACTIVE"));
  const made = panel("Modes", "sliders", el("div", { class: "lines" },
    toggle(scope, room, { state: "system/device_mode", command: "system/device_mode/set", title: "Device mode", about: "A USB camera and speaker for a computer" }),
    toggle(scope, room, { state: "system/signage", command: "system/signage/set", title: "Signage", about: "The signage shows on the display" }),
    toggle(scope, room, { state: "system/environment_app", command: "system/environment_app/set", title: "Room control app", about: "Shown on the touch panel" })), collaboration);
  made.firstChild.append(provider);
  return made;
}

const STATUS_NAMES = new Map(Object.entries({ ipnetwork: "Network", sipserver: "SIP server", gatekeeper: "Gatekeeper", remotecontrol: "Remote control", globaldirectory: "Global directory", globaldirectoryserver: "Global directory", idledisplay: "Displays" }));

function systemPanel(scope, room) {
  const at = `room/${room}/`;
  const tone = (value) => (/^(up|on|online|registered|ok|ready)$/i.test(value) ? "good" : /^(off|disabled|none|unknown|not_configured)$/i.test(value) ? "" : "bad");
  const state = el("span", { class: "pill" });
  const checks = el("ul", { class: "checks" });
  const facts = el("dl", { class: "pairs" });
  scope.watch([`${at}system/state`], () => {
    setText(state, capital(words(store.get(`${at}system/state`))));
    state.hidden = store.get(`${at}system/state`) === undefined;
  });
  scope.watch([`${at}system/status/`], () => {
    const prefix = `${at}system/status/`;
    const items = store.below(prefix).map((topic) => ({ name: topic.slice(prefix.length), value: [store.get(topic)].flat().map(String) }));
    checks.hidden = items.length === 0;
    checks.replaceChildren(...items.map(({ name, value }) => {
      const worst = value.map(tone).includes("bad") ? "bad" : tone(value[0]);
      const text = STATUS_NAMES.get(name) ?? capital(words(name));
      return el("li", { class: "status", "data-tone": worst, title: value.join(", ") }, worst === "good" ? text : `${text}: ${words(value.join(", "))}`);
    }));
  });
  scope.watch([`${at}system/info`, `${at}system/sip_servers`, `${at}system/h323_gatekeepers`, `${at}session`], () => {
    const servers = (topic) => list(store.get(at + topic)).map((server) => `${server.address || "not set"} (${words(server.state)})`).join(", ");
    const info = store.get(`${at}system/info`) ?? {};
    const pairs = [
      ["SIP", servers("system/sip_servers")], ["H.323 gatekeeper", servers("system/h323_gatekeepers")],
      ["Model", info.model ?? info.modelName], ["Firmware", info.softwareVersion ?? info.buildVersion], ["Serial number", info.serialNumber],
      ["Logged in as", store.get(`${at}session`)?.userId],
    ].filter(([, value]) => value);
    facts.replaceChildren(...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  });
  const reboot = el("button", { class: "warning", type: "button", click: async () => {
    const sure = await confirmed(`Restart ${roomName(room)}?`, "The device restarts and is away for some minutes. A call that is up ends.", "Restart");
    if (sure) press(reboot, room, "system/reboot");
  } }, "Restart the device…");
  const made = panel("System", "pulse", checks, facts, el("div", { class: "row end" }, reboot));
  made.firstChild.append(state);
  return made;
}

// ── Tables: states, commands ─────────────────────────────────────────────────────────────────────

function statesPanel(scope, room) {
  const prefix = `room/${room}/`;
  const count = el("span", { class: "dim small-text" });
  const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the states", input: () => sift() });
  const body = el("tbody");
  const rows = new Map();
  function add(topic) {
    const value = el("button", { type: "button", "aria-expanded": "false", click: () => {
      value.setAttribute("aria-expanded", value.ariaExpanded !== "true");
      write(topic);
    } });
    const row = el("tr", {}, el("td", { class: "topic" }, topic.slice(prefix.length)), el("td", { class: "value" }, value));
    // Kept sorted, so that a topic is always found at the same place.
    const after = [...rows.keys()].filter((known) => known > topic).sort()[0];
    body.insertBefore(row, after ? rows.get(after).row : null);
    rows.set(topic, { row, value });
    sift(topic);
  }
  function write(topic) {
    const { value } = rows.get(topic);
    const current = store.get(topic);
    setText(value, value.ariaExpanded === "true" ? pretty(current) : short(current));
  }
  function sift(only) {
    const sought = filter.value.trim().toLowerCase();
    const fits = (topic) => topic.slice(prefix.length).toLowerCase().includes(sought) || short(store.get(topic) ?? "").toLowerCase().includes(sought);
    for (const topic of only ? [only] : rows.keys()) rows.get(topic).row.hidden = !fits(topic);
    const visible = [...rows.values()].filter(({ row }) => !row.hidden).length;
    setText(count, visible === rows.size ? `${rows.size} topics` : `${visible} of ${rows.size} topics`);
  }
  scope.watch([prefix], (changed) => {
    for (const topic of changed) {
      if (store.get(topic) === undefined) {
        rows.get(topic)?.row.remove();
        rows.delete(topic);
        continue;
      }
      const known = rows.has(topic);
      if (!known) add(topic);
      write(topic);
      if (!known) continue;
      const { row } = rows.get(topic);
      row.classList.remove("fresh");
      requestAnimationFrame(() => row.classList.add("fresh"));
    }
    sift();
  });
  // Long on a phone: opened by who wants it.
  return el("details", { class: "card panel", "aria-label": "States", open: matchMedia("(min-width: 761px)").matches },
    el("summary", {}, el("h2", {}, "Everything the device says"), count),
    el("div", {}, filter),
    el("table", { class: "table states" }, el("thead", {}, el("tr", {}, el("th", {}, `Topic below ${prefix}`), el("th", {}, "Value"))), body));
}

/// The log's entries, newest first; lines are made once and changed when their result comes.
function logLines(scope, fits, most) {
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
    setText(took, entry.own ? (entry.pending ? "…" : `${Math.round(entry.whole)} ms`) : "another client");
    if (entry.took !== undefined) took.title = `${entry.took} ms in the gateway and the device`;
    message.hidden = !entry.message || entry.pending;
    setText(message, entry.message ? capital(entry.message) : "");
  }
  const nothing = el("p", { class: "dim" }, "No commands yet.");
  scope.watch(["log"], () => {
    const entries = log.entries.filter(fits).slice(0, most);
    const keys = new Set(entries.map((entry) => entry.key));
    for (const [key, made] of known) {
      if (keys.has(key)) continue;
      made.remove();
      known.delete(key);
    }
    nothing.hidden = entries.length > 0;
    for (const [place, entry] of entries.entries()) {
      if (!known.has(entry.key)) {
        known.set(entry.key, line(entry));
        lines.insertBefore(known.get(entry.key), lines.children[place] ?? null);
      }
      write(known.get(entry.key), entry);
    }
  });
  return el("div", {}, nothing, lines);
}

function commandsPanel(scope, room) {
  const made = panel("Commands", "list", logLines(scope, (entry) => entry.room === room, 6));
  made.classList.add("log-card");
  made.firstChild.append(el("a", { class: "small-text", href: "#/log" }, "Whole log"));
  return made;
}

function logPage(scope, main) {
  document.title = "Log – poly2mqtt";
  const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the log", input: () => store.touch("log") });
  const fits = (entry) => `${entry.room}/${entry.command} ${entry.code ?? "ok"} ${entry.message ?? ""}`.toLowerCase().includes(filter.value.trim().toLowerCase());
  const clear = el("button", { type: "button", click: () => { log.entries = []; store.touch("log"); } }, "Clear");
  main.append(
    el("div", { class: "row spread" },
      el("div", { class: "head" }, el("h1", {}, "Log"), el("p", { class: "dim" }, "What this page sent, and what failed for anybody else.")),
      el("div", { class: "row" }, el("div", {}, filter), clear)),
    el("section", { class: "card panel", "aria-label": "Log" }, logLines(scope, fits, LONGEST_LOG)));
}

// ── Console ──────────────────────────────────────────────────────────────────────────────────────

/// What a topic's parameters can be in this room, as its states tell.
function suggestions(room, parameter) {
  const state = (topic) => store.get(`room/${room}/${topic}`);
  const conferences = list(state("calls"));
  const entries = list(state("directory/favorites")?.entries);
  const from = {
    index: () => Array.from({ length: 10 }, (_, index) => index + 1),
    meeting_id: () => list(state("calendar/meetings")).map(({ id }) => id),
    source_id: () => list(state("camera/near")).map(({ cameraIndex }) => cameraIndex),
    conf_id: () => conferences.map(({ id }) => id),
    conn_id: () => conferences.flatMap(({ connections }) => list(connections)).map(({ id }) => id),
    term_id: () => conferences.flatMap(({ terminals }) => list(terminals)).map(({ id }) => id),
    entry_id: () => entries.map(({ id }) => id),
    server_id: () => ["local", "global"],
    name: () => list(state("system/status")).map(({ name }) => String(name).replace("system.status.", "")),
  };
  return (from[parameter]?.() ?? []).filter((value) => value != null).map(String);
}

/// A payload to begin with: all that must be there.
function sample({ fields = [], bare }) {
  const required = fields.filter((field) => field.required);
  if (required.length === 0) return "";
  if (required.length === 1 && bare === required[0].name) return short(required[0].sample);
  return JSON.stringify(Object.fromEntries(required.map((field) => [field.name, field.sample])), null, 2);
}

function consolePage(scope, main, chosen) {
  document.title = "Console – poly2mqtt";
  const search = el("input", { type: "search", placeholder: "Find a topic, a path, a word of its payload", "aria-label": "Find a topic", role: "combobox", "aria-expanded": "true", "aria-controls": "topics", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" });
  const found = el("ul", { id: "topics", class: "topics", role: "listbox", "aria-label": "Topics" });
  const count = el("span", { class: "dim small-text" });
  const room = el("select", { "aria-label": "Room", change: () => follow() });
  let preview = () => {};
  const form = el("section", { class: "card panel", "aria-label": "Command" });
  main.append(
    el("div", { class: "row spread" },
      el("div", { class: "head" }, el("h1", {}, "Console"), el("p", { class: "dim" }, "Every command and query of the catalogue, with what it takes.")),
      el("div", {}, room)),
    el("div", { class: "console" }, el("section", { class: "card panel", "aria-label": "Topics" }, search, count, found), form));

  // The room's states fill the parameters in.
  let release = () => {};
  function follow() {
    release();
    release = room.value ? link.want([`room/${room.value}/#`]) : () => {};
    preview();
  }
  scope.onEnd(() => release());
  scope.watch(["rooms", "gateway/info"], () => {
    const before = room.value;
    const wanted = before || lastRoom;
    room.replaceChildren(...store.rooms().map((each) => el("option", { value: each }, roomName(each))));
    if ([...room.options].some((option) => option.value === wanted)) room.value = wanted;
    if (room.value !== before) follow();
  });

  const options = CATALOGUE.topics.map((command, place) => ({
    command,
    text: `${command.topic} ${command.takes} ${command.requests} ${command.kind}`.toLowerCase(),
    element: el("li", { id: `topic-${place}`, role: "option", "aria-selected": "false", "data-topic": command.topic, click: () => select(place) },
      el("span", { class: "mono" }, command.topic), command.guarded ? el("small", {}, "guarded") : null, el("small", {}, command.kind)),
  }));
  found.append(...options.map((option) => option.element));
  let selected = -1;
  function sift() {
    const sought = search.value.trim().toLowerCase().split(/\s+/);
    let fitting = 0;
    for (const option of options) {
      option.element.hidden = !sought.every((word) => option.text.includes(word));
      fitting += option.element.hidden ? 0 : 1;
    }
    setText(count, `${fitting} of ${options.length} topics`);
  }
  function select(place) {
    options[selected]?.element.setAttribute("aria-selected", "false");
    selected = place;
    const { element, command } = options[place];
    element.setAttribute("aria-selected", "true");
    element.scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", element.id);
    history.replaceState(null, "", `#/console/${encodeURIComponent(command.topic)}`);
    preview = commandForm(form, command, () => room.value);
  }
  function step(by) {
    for (let place = selected + by; place >= 0 && place < options.length; place += by) {
      if (!options[place].element.hidden) return select(place);
    }
  }
  search.addEventListener("input", sift);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "Enter") form.querySelector("input, textarea, button")?.focus();
    else return;
    event.preventDefault();
  });
  sift();
  const start = options.findIndex(({ command }) => command.topic === (chosen || "audio/volume/set"));
  select(Math.max(start, 0));
}

/// Shows a command's form; gives what shows its frame anew.
function commandForm(card, command, room) {
  const values = new Map();
  const parameters = [...command.topic.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const fields = parameters.map((name) => {
    const known = el("datalist", { id: `known-${name}` });
    const input = el("input", { list: known.id, placeholder: CATALOGUE.parameters[name] ?? "", spellcheck: "false", autocomplete: "off", required: true, input: () => preview(), focus: () => fill() });
    // At each focus too: what the room tells may come, and change, after the form.
    const fill = () => {
      const all = suggestions(room(), name);
      known.replaceChildren(...all.map((value) => el("option", { value })));
      if (input.value === "") input.value = all[0] ?? "";
      preview();
    };
    values.set(name, { input, fill });
    return el("label", { class: "field" }, el("span", {}, name), input, known);
  });
  const payload = el("textarea", { rows: Math.min(8, sample(command).split("\n").length + 1), spellcheck: "false", "aria-label": "Payload", placeholder: "Empty", input: () => preview() });
  payload.value = sample(command);
  const topic = () => command.topic.replace(/\{(\w+)\}/g, (_, name) => level(values.get(name).input.value));
  const frame = () => ({ topic: `room/${room()}/${topic()}`, ...(payload.value.trim() === "" ? {} : { payload: typed(payload.value) }) });
  // JSON as JSON, anything else as the text that it is; a number too long for one stays text.
  const typed = (text) => {
    try {
      const value = JSON.parse(text);
      return typeof value === "number" && String(value) !== text.trim() ? text.trim() : value;
    } catch {
      return text.trim();
    }
  };
  const sent = el("code", {});
  const preview = () => setText(sent, JSON.stringify(frame()));
  const outcome = el("span", { class: "pill" });
  const answer = el("pre", { tabindex: "0", "aria-label": "Result" });
  const save = el("a", { class: "small-text", hidden: true }, "Save the file");
  const result = el("div", { class: "stack", hidden: true, role: "status" }, el("div", { class: "row" }, el("h3", { class: "grow" }, "Result"), save, outcome), answer);
  const button = el("button", { class: command.guarded ? "danger" : "primary", type: "submit" }, icon("send"), "Send");
  let url = null;
  const rule = command.fields?.length
    ? el("dl", { class: "pairs" }, ...command.fields.flatMap((field) => [el("dt", { class: "mono" }, field.name + (field.required ? "" : "?")), el("dd", {}, field.rule)]))
    : el("span", {}, command.takes === "none" ? "Takes no payload." : `Takes ${command.takes}.`);
  const form = el("form", { class: "stack", submit: async (event) => {
    event.preventDefault();
    if (command.guarded && !(await confirmed(`Send ${topic()}?`, "It is guarded: it changes the device for good, or ends what it is doing.", "Send"))) return;
    button.setAttribute("aria-busy", "true");
    const { bytes, whole, ...rest } = await send(room(), topic(), frame().payload, { quiet: true });
    button.removeAttribute("aria-busy");
    result.hidden = false;
    const inGateway = rest.took_ms === undefined ? "" : `, ${rest.took_ms} ms in the gateway`;
    setTone(outcome, `${rest.ok ? "ok" : words(rest.error.code)} · ${Math.round(whole)} ms${inGateway}`, rest.ok ? "good" : "bad");
    setText(answer, pretty(rest));
    if (url) URL.revokeObjectURL(url);
    save.hidden = !bytes;
    if (!bytes) return;
    // Never shown as a page of this origin, whatever the device says that it is.
    url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    save.href = url;
    save.download = topic().replace(/\/get$/, "").replaceAll("/", "-") + (/jpeg/.test(rest.body.content_type) ? ".jpg" : "");
  } },
    ...fields,
    command.takes === "none" ? null : el("label", { class: "field" }, el("span", {}, "Payload"), payload),
    command.file ? el("p", { class: "dim small-text" }, `Files are better uploaded over HTTP: POST /room/${room()}/${command.topic}`) : null,
    el("div", { class: "row spread" }, el("div", { class: "small-text dim grow mono" }, sent), button));
  card.replaceChildren(
    el("div", { class: "row" }, el("h2", { class: "mono grow" }, command.topic), command.guarded ? el("span", { class: "pill", "data-tone": "warn" }, "guarded") : null, el("span", { class: "pill" }, command.kind)),
    el("p", { class: "dim small-text mono" }, command.requests),
    el("div", { class: "rule" }, rule, command.bare ? el("p", { class: "dim small-text" }, `Or ${command.bare} alone.`) : null),
    form, result);
  preview();
  for (const { fill } of values.values()) fill();
  return preview;
}

// ── Which page ───────────────────────────────────────────────────────────────────────────────────

/// A part of the address; one that is no text leads nowhere.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

let page = new Scope();
function show() {
  const [name = "", argument = ""] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  page.end();
  page = new Scope();
  const main = $("main");
  main.replaceChildren();
  if (name === "room" && argument) roomPage(page, main, argument);
  else if (name === "console") consolePage(page, main, argument);
  else if (name === "log") logPage(page, main);
  else overview(page, main);
  const current = name === "console" || name === "log" ? name : "rooms";
  for (const item of document.querySelectorAll("nav a")) {
    if (item.dataset.page === current) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
}

window.addEventListener("hashchange", () => {
  show();
  window.scrollTo(0, 0);
  // For who cannot see that the page changed.
  $("main").focus({ preventScroll: true });
});
$("retry").addEventListener("click", () => link.now());
$("forget").addEventListener("click", () => {
  sessionStorage.removeItem("token");
  location.reload();
});
$("token").addEventListener("cancel", (event) => event.preventDefault());
$("token").addEventListener("close", () => {
  sessionStorage.setItem("token", $("token-input").value.trim());
  $("token-input").value = "";
  link.connect();
});
window.addEventListener("online", () => link.now());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && link.now());

// What every page needs: names, availability, problems and what fails.
link.want(["gateway/#", "room/+/availability", "room/+/problem", "room/+/system/info", "room/+/call/state", "room/+/event/#"]);
show();
link.connect();
