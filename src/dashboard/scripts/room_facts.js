// What several pages show of a room: its name, model, availability, call, problem and meetings.

const roomName = (room) => String(store.get("gateway/info")?.rooms?.[room] || store.get(`room/${room}/system/info`)?.systemName || `Room ${room}`);
const roomHash = (room) => `#/room/${encodeURIComponent(room)}`;

const CALL_STATES = new Map(Object.entries({ idle: ["No call", ""], ringing: ["Ringing", "warn"], dialing: ["Dialling", "warn"], connected: ["In a call", "good"], held: ["On hold", "warn"] }));

/// Whether a room is "online" or "offline"; "unknown" before its gateway has said so, and while there is
/// no connection to it.
const availability = (room) => (connection.isUp && store.get(`room/${room}/availability`)) || "unknown";

/// Since when the shown values of a room are not current; null if they are, or if there are none.
function staleSince(room) {
  if (!connection.isUp) return lostAt;
  if (availability(room) !== "offline") return null;
  return dateOf(store.get(`room/${room}/problem`)?.since);
}

/// Marks an element whose values are old, so that nothing in it looks current, and says from when they
/// are.
function markStale(scope, room, element, note) {
  scope.watch(["connection", `room/${room}/availability`, `room/${room}/problem`], () => {
    const since = staleSince(room);
    element.toggleAttribute("data-stale", availability(room) !== "online");
    note.hidden = !since;
    setText(note, since ? `as of ${moment(since)}` : "");
  });
}

/// A pill that always shows the room's availability.
function availabilityPill(scope, room) {
  const pill = el("span", { class: "pill" });
  const looks = { online: ["Online", "good"], offline: ["Offline", "bad"], unknown: ["Unknown", ""] };
  scope.watch(["connection", `room/${room}/availability`], () => setTone(pill, ...looks[availability(room)]));
  return pill;
}

function callPill(scope, room) {
  const pill = el("span", { class: "pill" });
  const base = `room/${room}`;
  scope.watch(["connection", `${base}/availability`, `${base}/call/state`, `${base}/call/in_meeting`], () => {
    // The last call state of an offline device is out of date.
    const state = availability(room) === "online" ? store.get(`${base}/call/state`) : undefined;
    const [text, tone] = CALL_STATES.get(state) ?? ["", ""];
    if (state === "idle" && store.get(`${base}/call/in_meeting`) === true) setTone(pill, "In a meeting", "accent");
    else setTone(pill, text, tone);
    pill.hidden = text === "";
  });
  return pill;
}

function model(room) {
  const info = store.get(`room/${room}/system/info`);
  return [info?.model ?? info?.modelName, info?.softwareVersion ?? info?.buildVersion].filter(Boolean).join(" · ");
}

/// When a meeting begins and ends; null if it has no valid time. The guide's times are in seconds,
/// but some devices send milliseconds.
function meetingTimes(meeting) {
  if (!Number.isFinite(meeting?.startTime)) return null;
  const begin = new Date(meeting.startTime > 1e11 ? meeting.startTime : meeting.startTime * 1000);
  const end = new Date(+begin + (Number(meeting.duration) || 0) * 1000);
  if (Number.isNaN(+begin) || Number.isNaN(+end)) return null;
  const today = begin.toDateString() === new Date().toDateString();
  return { begin, end, day: today ? "" : `${weekday.format(begin)}, ` };
}
const meetingName = (meeting) => (meeting.privateMeeting ? "Private meeting" : meeting.subject || "Meeting");
