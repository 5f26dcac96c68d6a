// The WebSocket to the gateway. This class is all the page uses of it, so it is also an example for
// clients of your own; docs/websocket.md describes the frames.

/// The first reconnect comes soon, for a gateway that only restarts; then the wait doubles.
const FIRST_RECONNECT_WAIT = 500;
/// The longest wait after the gateway is back: a person is watching.
const LONGEST_RECONNECT_WAIT = 15_000;
/// A connection on which nothing came for this long is asked for a sign of life.
const SILENCE_BEFORE_PING = 10_000;
/// A sign of life that takes longer than this will not come. The same holds for each step of connecting.
const SILENCE_BEFORE_END = 8_000;
/// The same after a standby, when the connection has probably died and a person is waiting.
const SILENCE_AFTER_STANDBY = 3_000;
/// How often the silence is measured.
const WATCH_INTERVAL = 1_000;
/// The gateway's close code for a token that is missing or wrong.
const CLOSE_BAD_TOKEN = 4401;

/// Where the gateway has something: below the page's own address, since a proxy may serve the page below a
/// path, with or without a slash at its end.
const gatewayAddress = (path) => new URL(`${location.pathname.replace(/\/$/, "")}/${path}`, location.origin);

/// Asks the gateway over HTTP, with the token of this page.
function askGateway(address) {
  const token = sessionStorage.getItem("token");
  return fetch(address, { headers: token ? { Authorization: `Bearer ${token}` } : {}, cache: "no-store" });
}

/// A WebSocket to the gateway that reconnects by itself.
///
/// Frames are JSON. Each request has an `id`, which its answer carries:
///   {"id":7,"topic":"room/1/audio/volume/set","payload":40} → {"id":7,"topic":"…/result","payload":{…}}
///   {"id":8,"subscribe":["room/1/#"]}                       → all states that match, then {"id":8,"subscribed":[…]}
/// States come as {"topic","payload","retain":true}; payload null means that the state is gone.
/// Events have no retain. A binary frame holds the file of the result right before it.
///
/// The handlers: opened(), retained(topic, payload), event(topic, payload), synchronized() (all
/// states have come), completed() (all states of a later subscription have come), unsubscribed(),
/// state(state, {reason, until}).
class Connection {
  constructor(handlers) {
    this.handlers = handlers;
    this.filters = new Map(); // filter → how many subscribers it has
    this.complete = new Set(); // the filters whose states have all come over this socket
    this.requests = new Map(); // id → what to do with the answer
    this.pendingFile = null; // completes the result that waits for its file
    this.lastId = 0;
    this.reconnectWait = FIRST_RECONNECT_WAIT;
    this.socket = null;
    this.wasOpen = false; // the newest socket
    this.state = "closed"; // then "connecting", "up", "down" or "refused"
  }

  get isUp() {
    return this.state === "up";
  }

  connect() {
    clearTimeout(this.timer);
    const url = gatewayAddress("ws");
    url.protocol = url.protocol.replace("http", "ws");
    // A browser cannot set a header on a WebSocket, so the token goes into the query. The gateway
    // never logs it.
    const token = sessionStorage.getItem("token");
    url.search = token ? new URLSearchParams({ token }) : "";
    this.setState("connecting");
    this.wasOpen = false;
    this.heard();
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    // Events of a socket that was given up are ignored.
    const ifCurrent = (handle) => (event) => this.socket === socket && handle(event);
    socket.onopen = ifCurrent(() => this.opened());
    socket.onmessage = ifCurrent((event) => this.received(event.data));
    socket.onclose = ifCurrent((event) => this.closed(event));
    this.socket = socket;
  }

  opened() {
    this.wasOpen = true;
    this.heard();
    this.handlers.opened();
    // The answer comes after the last state. An open socket alone does not mean that the token is
    // right: the gateway opens it in any case and closes it with a code.
    const filters = [...this.filters.keys()];
    this.request({ subscribe: filters }).then((answer) => {
      if (!answer.subscribed) return;
      this.complete = new Set(filters);
      this.reconnectWait = FIRST_RECONNECT_WAIT;
      this.setState("up");
      this.heard();
      this.handlers.synchronized();
    });
  }

  /// Something came: the connection lives.
  heard() {
    this.lastHeard = Date.now();
    this.deadline = null;
    // Until all states have come, something must come all the time.
    if (this.state === "connecting") this.deadline = this.lastHeard + SILENCE_BEFORE_END;
    this.watchdog ??= setInterval(() => this.watch(), WATCH_INTERVAL);
  }

  /// Notices a connection that is dead without any event saying so: a cable that was pulled, a proxy that
  /// hangs, a standby.
  watch() {
    if (this.socket === null) return;
    const now = Date.now();
    if (this.deadline !== null && now > this.deadline) this.giveUp();
    else if (this.deadline === null && now - this.lastHeard > SILENCE_BEFORE_PING) this.askForLife(SILENCE_BEFORE_END);
  }

  /// Something must come within this time.
  askForLife(within) {
    this.deadline = Math.min(this.deadline ?? Infinity, Date.now() + within);
    this.request({ ping: true });
  }

  /// After a standby, or when the network is back: finds out at once whether the connection still lives, and
  /// connects again if it does not.
  wake() {
    if (this.state === "down") this.connect();
    else if (this.isUp) this.askForLife(SILENCE_AFTER_STANDBY);
    else if (this.socket !== null && Date.now() - this.lastHeard > SILENCE_AFTER_STANDBY) this.giveUp();
  }

  /// Gives a dead connection up without waiting for its close.
  giveUp() {
    const socket = this.socket;
    this.closed({ code: 1006, reason: "" });
    socket.close();
  }

  closed({ code, reason }) {
    clearTimeout(this.timer);
    this.socket = null;
    this.complete.clear();
    this.completeFile(null);
    const unknown = { ok: false, error: { code: "connection_lost", message: "the connection to the gateway broke before the result came" } };
    for (const answer of this.requests.values()) answer({ payload: unknown });
    this.requests.clear();
    if (code === CLOSE_BAD_TOKEN) return this.setState("refused", { reason });
    // The random part keeps many pages from returning at the same moment after a restart.
    const wait = this.reconnectWait * (0.75 + Math.random() / 2);
    this.reconnectWait = Math.min(this.reconnectWait * 2, LONGEST_RECONNECT_WAIT);
    this.timer = setTimeout(() => this.connect(), wait);
    const until = Date.now() + wait;
    this.setState("down", { reason, until });
    if (!this.wasOpen) this.explain(until);
  }

  /// Says why the WebSocket did not open. A script is not told, so it asks with a request to the same
  /// address: the answer names what a proxy in between does wrong, for example.
  async explain(until) {
    try {
      const response = await fetch(gatewayAddress("ws"), { method: "POST" });
      const why = (await response.json()).error?.message;
      if (why && this.state === "down") this.setState("down", { reason: why, until });
    } catch {
      // The gateway does not answer at all, or a proxy answers for it.
    }
  }

  /// Reconnects at once instead of at the end of the wait.
  reconnectNow() {
    if (this.state === "down") this.connect();
  }

  setState(state, details = {}) {
    this.state = state;
    this.handlers.state(state, details);
  }

  received(data) {
    this.heard();
    if (data instanceof ArrayBuffer) return this.completeFile(data);
    // The file before this frame was too large for the connection: no bytes follow, only its URL.
    this.completeFile(null);
    const frame = JSON.parse(data);
    const answer = this.requests.get(frame.id);
    if (answer) {
      this.requests.delete(frame.id);
      if (frame.payload?.ok && frame.payload.body?.content_type) {
        this.pendingFile = (bytes) => answer({ ...frame, bytes });
      } else {
        answer(frame);
      }
    } else if (frame.retain) {
      this.handlers.retained(frame.topic, frame.payload);
    } else if (frame.topic) {
      this.handlers.event(frame.topic, frame.payload);
    }
  }

  /// Completes the result that waits for a file's bytes, if there is one.
  completeFile(bytes) {
    this.pendingFile?.(bytes);
    this.pendingFile = null;
  }

  /// Sends a request. The promise gives the answer and is never rejected.
  request(request) {
    return new Promise((resolve) => {
      if (this.socket?.readyState !== WebSocket.OPEN) {
        return resolve({ payload: { ok: false, error: { code: "not_connected", message: "there is no connection to the gateway" } } });
      }
      const id = ++this.lastId;
      this.requests.set(id, resolve);
      this.socket.send(JSON.stringify({ id, ...request }));
    });
  }

  /// Sends a command; gives its result, and the bytes of a file as `result.bytes`.
  async command(topic, payload) {
    const answer = await this.request({ topic, payload });
    const result = answer.payload ?? { ok: false, error: answer.error };
    return answer.bytes ? { ...result, bytes: answer.bytes } : result;
  }

  /// Subscribes until the returned function is called. Several may subscribe to the same filter.
  subscribe(filters) {
    const count = (filter, change) => {
      const before = this.filters.get(filter) ?? 0;
      if (before + change > 0) this.filters.set(filter, before + change);
      else this.filters.delete(filter);
      return before;
    };
    const added = filters.filter((filter) => count(filter, 1) === 0);
    if (added.length > 0) {
      this.request({ subscribe: added }).then((answer) => {
        if (!answer.subscribed) return;
        for (const filter of added) this.complete.add(filter);
        this.handlers.completed();
      });
    }
    return () => {
      const removed = filters.filter((filter) => count(filter, -1) === 1);
      if (removed.length === 0) return;
      for (const filter of removed) this.complete.delete(filter);
      this.request({ unsubscribe: removed });
      this.handlers.unsubscribed();
    };
  }

  /// Whether the page would have a topic's value if there was one.
  isKnown(topic) {
    return this.isUp && [...this.complete].some((filter) => matches(filter, topic));
  }

  /// Whether a subscription covers a topic.
  isSubscribed(topic) {
    return [...this.filters.keys()].some((filter) => matches(filter, topic));
  }
}
