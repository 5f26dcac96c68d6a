// The panel of microphone, camera picture and volume.

function soundPanel(scope, room) {
  const lockedHint = el("p", { class: "dim small-text", hidden: true }, "The far end keeps the microphone muted.");
  scope.watch([`room/${room}/audio/mute_locked`], () => (lockedHint.hidden = store.get(`room/${room}/audio/mute_locked`) !== true));
  return panel("Sound and picture", "speaker", muteTiles(scope, room), lockedHint, volumeRow(scope, room));
}

function muteTiles(scope, room) {
  const base = `room/${room}/`;
  // A button asks for a value and not to toggle: when two people press at the same time, both get
  // what they wanted.
  const mute = ({ state, command, title, symbol, on, off }) => {
    const status = el("small", { "aria-live": "polite" });
    const symbolIcon = icon(symbol);
    const tile = el("button", { class: "tile", type: "button", "data-command": command, click: () => press(tile, room, command, tile.ariaPressed !== "true") }, symbolIcon, el("span", {}, el("b", {}, title), status));
    scope.watch([base + state], () => {
      const muted = store.get(base + state);
      if (muted === undefined) tile.removeAttribute("aria-pressed");
      else tile.setAttribute("aria-pressed", muted === true);
      tile.dataset.tone = muted === undefined ? "" : muted ? "bad" : "good";
      setIcon(symbolIcon, muted ? `${symbol}-off` : symbol);
      setText(status, muted === undefined ? "Unknown" : muted ? on : off);
    });
    return tile;
  };
  return el("div", { class: "tiles" },
    mute({ state: "audio/muted", command: "audio/muted/set", title: "Mute microphone", symbol: "mic", on: "Muted", off: "Not muted" }),
    mute({ state: "video/muted", command: "video/muted/set", title: "Mute camera", symbol: "video", on: "Picture off", off: "Picture on" }));
}

function volumeRow(scope, room) {
  const topic = `room/${room}/audio/volume`;
  const slider = el("input", { class: "grow", type: "range", min: 0, max: 100, step: 1, "aria-label": "Volume", "data-command": "audio/volume/set" });
  const output = el("output", { "aria-label": "Volume of the device" });
  const row = el("div", { class: "volume" }, step("down", "minus", "Quieter"), slider, step("up", "plus", "Louder"), output);
  function step(way, symbol, label) {
    const button = el("button", { class: "square", type: "button", "aria-label": label, click: () => press(button, room, `audio/volume/${way}`, 5) }, icon(symbol));
    return button;
  }
  // While the slider is dragged, one command runs and the newest value waits; values in between are
  // skipped.
  let held = false;
  let waiting = null;
  let busy = false;
  async function set(value) {
    waiting = value;
    if (busy) return;
    busy = true;
    while (waiting !== null) {
      const next = waiting;
      waiting = null;
      await send(room, "audio/volume/set", next);
    }
    busy = false;
    show();
  }
  function show() {
    const volume = store.get(topic);
    row.hidden = volume === undefined;
    row.toggleAttribute("data-pending", busy);
    slider.style.setProperty("--level", `${volume ?? 0}%`);
    setText(output, volume ?? "");
    if (!busy && !held) slider.value = volume ?? 0;
  }
  slider.addEventListener("input", () => {
    set(slider.valueAsNumber);
    show();
  });
  slider.addEventListener("pointerdown", () => (held = true));
  for (const event of ["pointerup", "pointercancel", "blur"]) {
    slider.addEventListener(event, () => {
      held = false;
      show();
    });
  }
  scope.watch([topic], show);
  return row;
}
