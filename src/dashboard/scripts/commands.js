// Sends commands and keeps the log of them.
//
// The page shows nothing before the device says it: a pressed button looks busy until its result is
// there, and the gateway publishes the new state before the result.

/// A person scrolls no further, and the page stays small when it is open for days.
const LOG_ENTRIES = 300;
/// A failure of our own command comes twice: as its result and as the room's event. Two with the
/// same text within this time are taken for one.
const SAME_FAILURE_WITHIN = 10_000;

/// Entries, newest first: {key, at, room, command, payload, own, pending, ok, code, message,
/// tookMs (in the gateway and the device), roundTripMs (as this page saw it)}.
const log = { entries: [], lastKey: 0 };

function addLogEntry(entry) {
  log.entries.unshift({ key: ++log.lastKey, at: new Date(), ...entry });
  log.entries.length = Math.min(log.entries.length, LOG_ENTRIES);
  store.notify("log");
  return log.entries[0];
}

/// A payload for the log; passwords and PINs are masked.
function payloadForLog(payload) {
  if (payload === undefined || payload === "") return "";
  const text = short(payload);
  return text.replace(/("(?:password|pin)"\s*:\s*)"(?:[^"\\]|\\.)*"/gi, '$1"•••"');
}

/// Sends a command and writes it to the log. With `quiet` the caller shows errors itself.
async function send(room, command, payload, { quiet = false } = {}) {
  const entry = addLogEntry({ room, command, payload: payloadForLog(payload), own: true, pending: true });
  const started = performance.now();
  const result = await connection.command(`room/${room}/${command}`, payload);
  const { ok, error = {}, warning, took_ms: tookMs } = result;
  Object.assign(entry, { pending: false, ok, code: error.code, message: error.message, tookMs, roundTripMs: performance.now() - started });
  store.notify("log");
  // "superseded" is not an error to show: a newer command for the same state won.
  if (!ok && !quiet && error.code !== "superseded") {
    toast(`${roomName(room)}: ${capital(error.message ?? "it failed")}`, `${command} · ${error.code}`);
  }
  if (ok && warning && !quiet) toast(`${roomName(room)}: ${capital(warning)}`, command);
  return { ...result, roundTripMs: entry.roundTripMs };
}

/// Sends a command for a control, which looks busy until the result is there.
async function press(control, room, command, payload) {
  if (control.ariaBusy === "true") return null;
  return whileBusy(control, send(room, command, payload));
}

/// Shows that a control's work runs, and after a second for how long already: a download, a restart or a
/// switch of the provider takes minutes.
async function whileBusy(control, work) {
  const started = performance.now();
  const show = () => (control.dataset.busyFor = waited((performance.now() - started) / 1000));
  control.setAttribute("aria-busy", "true");
  const timer = setInterval(show, 1000);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    control.removeAttribute("aria-busy");
    delete control.dataset.busyFor;
  }
}

/// An event of a room: an incoming call is announced, a failed command is logged.
function eventReceived(topic, event) {
  const [, room, , name] = topic.split("/");
  // The room's own page shows the call already.
  if (name === "incoming_call" && ![roomHash(room), panelHash(room)].includes(location.hash)) {
    toast(el("a", { href: roomHash(room) }, `Incoming call for ${roomName(room)}`), event.address ?? "", "good");
  }
  if (name !== "command_failed") return;
  const own = log.entries.find((entry) =>
    entry.own && entry.room === room && entry.command === event.command && !entry.matched &&
    (entry.pending || (entry.message === event.message && Date.now() - entry.at < SAME_FAILURE_WITHIN)));
  if (own) own.matched = true;
  else addLogEntry({ room, command: event.command, payload: "", own: false, ok: false, code: event.code, message: event.message });
}
