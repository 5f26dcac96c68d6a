// The panel that selects and moves the camera, with its presets and tracking.

/// Moves a camera while a button is held. Every start is followed by a stop, however the
/// press ends; if the connection breaks, the gateway stops the camera by itself.
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
    send(this.room, "camera/stop", undefined, { quiet: !connection.isUp });
  }
}

/// A list of the connected cameras, or of the inputs for content. It shows what the device says is
/// selected, also while the device has not changed over yet.
function sourceList(scope, room, { use, selected, title }) {
  const connected = `room/${room}/camera/near/connected`;
  const current = `room/${room}/${selected}`;
  const command = `${selected}/set`;
  const choice = el("select", { "data-command": command, change: async () => {
    await press(choice, room, command, { source: choice.value });
    show();
  } });
  const field = el("label", { class: "field", hidden: true }, el("span", {}, title), choice);
  const show = () => {
    const sources = list(store.get(connected)?.[use]);
    const now = sources.find((source) => source.index === store.get(current)?.cameraIndex);
    // What is selected may not be connected any more.
    const names = [...(now ? [] : [""]), ...sources.map((source) => source.name)];
    if (names.join("\n") !== [...choice.options].map((option) => option.value).join("\n")) {
      choice.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
    }
    choice.value = now?.name ?? "";
    field.hidden = sources.length === 0;
  };
  scope.watch([connected, current], show);
  return field;
}

function cameraPanel(scope, room, controls) {
  const base = `room/${room}/`;
  const mover = new Mover(room);
  const stop = () => mover.stop();
  const arrow = (direction, symbol, label) => {
    // Pressing a button blurs the one pressed before, which must not stop the new movement.
    const release = () => mover.button === button && stop();
    const button = el("button", {
      type: "button", "data-direction": direction, "aria-label": label, "aria-pressed": "false",
      pointerdown: (event) => {
        if (event.button === 0) mover.start(button);
      },
      pointerup: release, pointercancel: release, pointerleave: release, blur: release,
      // A held key repeats; only its first event counts.
      keydown: (event) => {
        if (event.key === " " || event.key === "Enter") {
          event.preventDefault();
          if (!event.repeat) mover.start(button);
        }
      },
      keyup: (event) => (event.key === " " || event.key === "Enter") && release(),
      // On a phone a long press would open a menu.
      contextmenu: (event) => event.preventDefault(),
    }, icon(symbol));
    return button;
  };
  const arrows = { ArrowUp: arrow("up", "up", "Move up"), ArrowLeft: arrow("left", "left", "Move left"), ArrowRight: arrow("right", "right", "Move right"), ArrowDown: arrow("down", "down", "Move down") };
  const gap = () => el("span");
  const pad = el("div", {
    class: "pad", role: "group", "aria-label": "Hold to move the camera; the arrow keys work too",
    keydown: (event) => {
      if (!(event.key in arrows)) return;
      event.preventDefault();
      const button = arrows[event.key];
      button.focus();
      if (!event.repeat && !button.disabled) mover.start(button);
    },
    keyup: (event) => event.key in arrows && stop(),
  }, gap(), arrows.ArrowUp, gap(), arrows.ArrowLeft, el("span", { class: "middle" }, icon("video")), arrows.ArrowRight, gap(), arrows.ArrowDown, gap());
  const zoom = el("div", { class: "zoom", role: "group", "aria-label": "Hold to zoom" }, arrow("zoom_in", "plus", "Zoom in"), el("span", { "aria-hidden": "true" }, "Zoom"), arrow("zoom_out", "minus", "Zoom out"));
  for (const [target, event] of [[window, "blur"], [window, "pagehide"], [document, "visibilitychange"]]) scope.listen(target, event, stop);
  // A button that becomes disabled gets no event when it is released.
  scope.watch(["connection", `${base}availability`], () => controls.disabled && stop());
  scope.onEnd(stop);

  const tracking = toggle(scope, room, {
    state: "camera/near/selected_people", command: "camera/tracking/set", title: "Tracking", about: "The camera follows the speaker",
    // Firmware that does not tell it must not be shown as off.
    read: (camera) => (isObject(camera) && camera.trackable !== false && camera.trackingstate != null
      ? /^(on|true)$/i.test(camera.trackingstate) : undefined),
  });
  const people = sourceList(scope, room, { use: "people", selected: "camera/near/selected_people", title: "Camera" });
  const content = sourceList(scope, room, { use: "content", selected: "camera/near/selected_content", title: "Content input" });
  return panel("Camera", "video", people, el("div", { class: "camera" }, pad, zoom), presets(scope, room), tracking, content);
}
