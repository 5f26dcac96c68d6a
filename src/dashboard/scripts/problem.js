// What a room's problem means: in a few words for a card, and on its page since when it is, what to do,
// and when the gateway tries the device again.

/// Each problem's name and remedy. A gateway that is newer than the page may send others.
const PROBLEMS = new Map(Object.entries({
  offline: ["Not reachable", "Check that the device has power and network, and that the room's url is right."],
  not_understood: ["Not understood", "Check that the room's url is that of a Poly device, and that the device has finished starting."],
  certificate_unknown: ["Certificate not trusted", "Compare the certificate with the one that the device shows. If they agree, write it into the room's configuration."],
  certificate_changed: ["Certificate changed", "If the device was reset or replaced, write its new certificate into the room's configuration. If not, something else may answer in its place."],
  unauthorized: ["Log-in refused", "Correct the room's user or password in the configuration."],
  locked_out: ["Locked out", "Wait. If it comes back, correct the password in everything that logs in to the device."],
  too_many_sessions: ["All sessions in use", "Log out elsewhere, or restart the device."],
  no_owner: ["In no gateway's hands", "Start a gateway of the cluster."],
  no_cluster: ["Cluster not reachable", "Check etcd and the network between it and the gateway."],
}));

/// The gateway's first and its longest wait before it tries a device again, in seconds. Other problems
/// end at an attempt within LONGEST_RECONNECT_S.
const RETRY_WAITS_S = { unauthorized: [600, 3600], locked_out: [120, 120], too_many_sessions: [60, 60] };
const LONGEST_RECONNECT_S = 30;

/// When a device is tried again, in words.
function nextTry({ code, since }, now) {
  const begin = dateOf(since);
  const waits = RETRY_WAITS_S[code];
  if (!waits || !begin) return `It is tried again at least every ${LONGEST_RECONNECT_S} seconds.`;
  const [first, longest] = waits;
  let wait = first;
  let at = +begin + first * 1000;
  while (at < now) {
    wait = Math.min(wait * 2, longest);
    at += wait * 1000;
  }
  return `It is tried again at about ${moment(new Date(at))}.`;
}

/// A room's problem; null if it has none, or if it is not known whether it has one.
function problemOf(room) {
  const problem = connection.isUp ? store.get(`room/${room}/problem`) : undefined;
  return isObject(problem) && (problem.code ?? "none") !== "none" ? problem : null;
}
const problemName = ({ code }) => PROBLEMS.get(code)?.[0] ?? capital(words(code));

/// The problem on a card: no address and no certificate, which are on the room's page.
function problemLine(scope, room) {
  const line = el("p", { class: "problem", hidden: true });
  scope.watch(["connection", `room/${room}/problem`], () => {
    const problem = problemOf(room);
    const since = dateOf(problem?.since);
    line.hidden = !problem;
    setText(line, problem ? problemName(problem) + (since ? ` since ${moment(since)}` : "") : "");
  });
  return line;
}

/// The problem on the room's page.
function problemBox(scope, room) {
  const title = el("b");
  const message = el("p");
  const remedy = el("p");
  const next = el("p");
  const box = el("div", { class: "problem stack", role: "status", hidden: true }, title, message, remedy, next);
  const show = () => {
    const problem = problemOf(room);
    const offline = availability(room) === "offline";
    box.hidden = !problem && !offline;
    if (box.hidden) return;
    const since = dateOf(problem?.since);
    const lasts = since ? Math.max(0, Date.now() - since) / 1000 : 0;
    setText(title, `${problem ? problemName(problem) : "Not connected yet"}${since ? ` since ${moment(since)}${lasts < 60 ? "" : ` (${duration(lasts)})`}` : ""}`);
    const known = PROBLEMS.get(problem?.code);
    setText(message, problem ? capital(problem.message ?? words(problem.code)) + (problem.message ? ` (${problem.code})` : "") : "The gateway logs in to the device.");
    setText(remedy, known?.[1] ?? "");
    setText(next, problem ? nextTry(problem, Date.now()) : "");
    for (const part of [remedy, next]) part.hidden = part.textContent === "";
  };
  scope.watch(["connection", `room/${room}/availability`, `room/${room}/problem`], show);
  scope.every(30_000, show);
  return box;
}
