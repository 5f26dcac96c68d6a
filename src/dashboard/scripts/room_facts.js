// What several pages show of a room: its name, model, availability, call, problem and meetings.

const roomName = (room) => String(store.get("gateway/info")?.rooms?.[room] || store.get(`room/${room}/system/info`)?.systemName || `Room ${room}`);
const roomHash = (room) => `#/room/${encodeURIComponent(room)}`;

const CALL_STATES = new Map(Object.entries({ idle: ["No call", ""], ringing: ["Ringing", "warn"], dialing: ["Dialling", "warn"], connected: ["In a call", "good"], held: ["On hold", "warn"] }));

/// A pill that always shows the room's availability.
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
  const base = `room/${room}`;
  scope.watch([`${base}/availability`, `${base}/call/state`, `${base}/call/in_meeting`], () => {
    // The last call state of an offline device is out of date.
    const state = store.get(`${base}/availability`) === "online" ? store.get(`${base}/call/state`) : undefined;
    const [text, tone] = CALL_STATES.get(state) ?? ["", ""];
    if (state === "idle" && store.get(`${base}/call/in_meeting`) === true) setTone(pill, "In a meeting", "accent");
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
