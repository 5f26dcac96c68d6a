// A control that several panels use.

/// A switch that shows a state; pressing it asks for the opposite.
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
