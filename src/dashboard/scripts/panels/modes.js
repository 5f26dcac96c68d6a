// The panel of device modes.

function modesPanel(scope, room) {
  const base = `room/${room}/`;
  const provider = el("span", { class: "pill" });
  scope.watch([`${base}system/mode`], () => {
    const mode = store.get(`${base}system/mode`);
    const name = mode?.app ?? mode?.activePersona;
    provider.hidden = !name;
    // With another provider the device refuses most commands, so show that before a person presses.
    setTone(provider, name ?? "", name === "Poly" ? "" : "warn");
  });
  const endButton = el("button", { class: "small", type: "button", click: () => press(endButton, room, "collaboration/end") }, "End");
  const collaboration = el("div", { class: "row", hidden: true }, el("span", { class: "grow" }, "Collaboration session"), endButton);
  scope.watch([`${base}collaboration`], () => (collaboration.hidden = store.get(`${base}collaboration`)?.sessionState !== "ACTIVE"));
  const card = panel("Modes", "sliders", el("div", { class: "lines" },
    toggle(scope, room, { state: "system/device_mode", command: "system/device_mode/set", title: "Device mode", about: "USB camera and speaker for a computer" }),
    toggle(scope, room, { state: "system/signage", command: "system/signage/set", title: "Signage", about: "Digital signage is shown on the display" }),
    toggle(scope, room, { state: "system/environment_app", command: "system/environment_app/set", title: "Room control app", about: "Shown on the touch panel" })), collaboration);
  card.firstChild.append(provider);
  return card;
}
