// Several gateways that share the rooms: which of them has which room, and the page about them. Where a gateway
// is alone, nothing of this is shown and nothing is asked for.

/// When many rooms change hands, the gateway is asked once, this long after the first.
const ROOM_GATEWAYS_DELAY = 500;

/// What is known of the gateways; null where there is only one.
function cluster() {
  const known = connection.isUp ? store.get("gateway/cluster") : undefined;
  return isObject(known) ? known : null;
}
/// The gateway that this page is connected to.
const ownGateway = () => cluster()?.from;

/// Room → the name of its gateway, null if none has it. No entry: not known. The key "gateways" of the store tells
/// of changes.
const roomGateways = new Map();
let roomGatewaysTimer;
let roomGatewaysAsked = 0;

function askForRoomGateways() {
  if (!cluster()) return;
  roomGatewaysTimer ??= setTimeout(async () => {
    roomGatewaysTimer = undefined;
    const question = ++roomGatewaysAsked;
    try {
      const response = await askGateway(gatewayAddress("room"));
      if (!response.ok) return;
      const rooms = await response.json();
      if (question !== roomGatewaysAsked) return;
      roomGateways.clear();
      for (const room of list(rooms)) if (room.gateway !== undefined) roomGateways.set(room.id, room.gateway);
      store.notify("gateways");
    } catch {
      // The next change asks again.
    }
  }, ROOM_GATEWAYS_DELAY);
}

/// Keeps up with which gateway has which room while a page is shown.
function followRoomGateways(scope) {
  let placement;
  scope.watch(["connection", "gateway/cluster"], () => {
    const now = cluster()?.placement;
    if (now !== undefined && now !== placement) askForRoomGateways();
    placement = now;
  });
  // A room that is just moving has no gateway; when it has one, it comes online.
  scope.watch(["availability"], () => [...roomGateways.values()].includes(null) && askForRoomGateways());
}

/// Which gateway has a room, in words; empty where there is only one, and while it is not known.
function gatewayOf(room) {
  if (!cluster() || !roomGateways.has(room)) return "";
  const name = roomGateways.get(room);
  return name === null ? "no gateway has it" : `at ${name}`;
}

const CLUSTER_STATES = { joining: "Joining", leaving: "Leaving", no_cluster: "No contact with etcd", ended: "Has left" };
/// What a limited token, which gets no message, is told.
const CLUSTER_PROBLEMS = {
  no_cluster: "The gateway has no contact with etcd, so it uses no device.",
  joining: "The gateway is not a member of the cluster yet.",
  leaving: "The gateway gives its rooms up.",
  ended: "The gateway has left the cluster.",
  no_owner: "Some rooms have no gateway.",
  differing: "The gateways have different configurations of the rooms.",
};
/// What to do about it.
const CLUSTER_REMEDIES = {
  no_cluster: "Check that most members of etcd run, and the network between them and this gateway. What is shown below may be old.",
  no_owner: "Start a gateway, or give one that runs a weight.",
  differing: "Give all gateways the same [rooms] and [defaults], and reload them.",
};
const percent = (part, whole) => (whole > 0 ? ` (${Math.round((part / whole) * 100)} %)` : "");
const many = (count, one, several) => `${count} ${count === 1 ? one : several}`;

function gatewaysPage(scope, main) {
  document.title = "Gateways – poly2mqtt";
  const about = el("p", { class: "dim" });
  const title = el("b");
  const message = el("p");
  const remedy = el("p");
  const problem = el("div", { class: "problem stack", role: "status", hidden: true }, title, message, remedy);
  const cards = el("div", { class: "rooms gateways" });
  const none = el("p", { class: "card empty", hidden: true });
  main.append(el("div", { class: "head" }, el("h1", {}, "Gateways"), about), problem, cards, none);
  scope.watch(["connection", "gateway/cluster"], () => {
    const known = cluster();
    none.hidden = known !== null;
    setText(none, connection.isUp ? "This gateway is alone: it shares its rooms with no other." : "Waiting for the gateway…");
    about.hidden = cards.hidden = known === null;
    if (known === null) {
      problem.hidden = true;
      return;
    }
    const members = list(known.members);
    const facts = [many(members.length, "gateway", "gateways")];
    if (known.rooms !== undefined) facts.push(many(known.rooms, "room", "rooms"));
    facts.push(known.unowned > 0 ? `${known.unowned} of ${known.shards} shards have no gateway` : `all ${known.shards} shards have a gateway`);
    setText(about, facts.join(" · "));
    const wrong = known.problem;
    problem.hidden = !wrong;
    if (wrong) {
      setText(title, CLUSTER_STATES[wrong.code] ?? capital(words(wrong.code)));
      setText(message, wrong.message ? `${capital(wrong.message)}.` : CLUSTER_PROBLEMS[wrong.code] ?? "");
      setText(remedy, CLUSTER_REMEDIES[wrong.code] ?? "");
      remedy.hidden = remedy.textContent === "";
    }
    cards.replaceChildren(...members.map((member) => gatewayCard(member, known, members)));
  });
}

/// One gateway.
function gatewayCard(member, known, members) {
  const differs = Array.isArray(known.differing) && known.differing.includes(member.name);
  const since = dateOf(member.since);
  const pairs = [
    ["Rooms", member.rooms === undefined ? null : `${member.rooms}${percent(member.rooms, known.rooms)}`],
    ["Shards", `${member.shards}${percent(member.shards, known.shards)}`],
    ["Version", member.version],
    ["Running since", since ? moment(since) : null],
    ["Weight", member.weight > 1 ? member.weight : null],
    ["Address", member.advertise],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  const pill = (text, tone) => el("span", { class: "pill", "data-tone": tone }, text);
  return el("section", { class: "card", "aria-label": `Gateway ${member.name}`, "data-gateway": member.name },
    el("div", { class: "row" },
      el("h2", { class: "clip grow", dir: "auto", title: member.name }, member.name),
      member.state === "leaving" ? pill("Leaving", "warn") : pill("Running", "good")),
    el("div", { class: "facts" },
      member.name === known.from ? pill("This page is connected to it", "accent") : null,
      member.version !== members[0].version ? pill("Another version", "warn") : null,
      differs ? pill("Another configuration", "warn") : null),
    el("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])));
}

// The link to the page is there only where there are several gateways.
store.watch(["connection", "gateway/cluster"], () => {
  const link = $("gateways-link");
  // It stays while the page reconnects.
  if (connection.isUp) link.hidden = cluster() === null;
});
