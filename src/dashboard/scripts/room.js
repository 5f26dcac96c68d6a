// The page of one room.

/// The room that the console offers first.
let lastRoom;

function roomPage(scope, main, room) {
  lastRoom = room;
  const base = `room/${room}/`;
  scope.subscribe(`${base}#`);
  followRoomGateways(scope);
  const name = el("h1", { dir: "auto" });
  const device = el("span", { class: "dim" });
  const columns = el("fieldset", { class: "columns", "aria-label": "Controls" });
  const missing = el("section", { class: "card empty", hidden: true }, "There is no such room, or this token is not for it.");
  const tablet = el("a", { class: "small-text", href: panelHash(room) }, "Panel for a tablet");
  const below = [columns, commandsPanel(scope, room), statesPanel(scope, room)];
  scope.watch([`${base}system/info`, "gateway/info", "connection", "gateway/cluster", "gateways"], () => {
    setText(name, roomName(room));
    document.title = `${roomName(room)} – poly2mqtt`;
    setText(device, [`Room ${room}`, model(room), gatewayOf(room)].filter(Boolean).join(" · "));
  });
  const old = el("span", { class: "pill as-of", hidden: true });
  markStale(scope, room, main, old);
  scope.onEnd(() => main.removeAttribute("data-stale"));
  // The only place that decides whether the controls can be pressed.
  scope.watch(["connection", `${base}availability`], () => {
    columns.disabled = access.readOnly || availability(room) !== "online";
    missing.hidden = !connection.isUp || store.get(`${base}availability`) !== undefined;
    for (const each of [...below, tablet]) each.hidden = !missing.hidden;
  });
  const column = (...panels) => el("div", { class: "column" }, ...panels.map((panel) => panel(scope, room, columns)));
  columns.append(column(soundPanel, callPanel, picturePanel), column(cameraPanel, modesPanel), column(calendarPanel, readinessPanel, systemPanel));
  main.append(
    el("div", { class: "head" },
      el("div", {}, el("a", { class: "back", href: "#/" }, icon("left"), "All rooms")),
      el("div", { class: "row" }, name, availabilityPill(scope, room), callPill(scope, room), old),
      el("div", { class: "row" }, device, tablet),
      problemBox(scope, room)),
    missing, ...below);
}
