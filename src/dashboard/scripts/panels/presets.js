// The camera presets: recall, store, clear.

function presets(scope, room) {
  const base = `room/${room}/`;
  const grid = el("div", { class: "presets", role: "group", "aria-label": "Presets", "data-mode": "activate" });
  const hint = el("p", { class: "dim small-text" });
  const modes = { activate: ["Recall", "Press a preset to move the camera there."], store: ["Store", "Press a preset to save the camera position in it."], clear: ["Clear", "Press a preset to clear it."] };
  const choose = (mode) => {
    grid.dataset.mode = mode;
    setText(hint, modes[mode][1]);
    for (const input of segments.querySelectorAll("input")) input.checked = input.value === mode;
  };
  const segments = el("div", { class: "segments", role: "radiogroup", "aria-label": "What pressing a preset does" },
    ...Object.entries(modes).map(([mode, [text]]) => el("label", {}, el("input", { type: "radio", name: "preset-mode", value: mode, change: () => choose(mode) }), el("span", {}, text))));
  const isEmpty = (index) => list(store.get(`${base}camera/presets`)).find((preset) => String(preset.index) === String(index))?.stored === false;
  const called = (index) => {
    const name = store.get(`${base}camera/presets/names`)?.[index];
    return name ? `preset ${index} (${name})` : `preset ${index}`;
  };
  // A camera position that is overwritten or cleared is gone: nothing brings it back, so both ask.
  const questions = {
    store: (index) => isEmpty(index)
      ? [`Store ${called(index)}?`, "The camera's position of now is saved in it.", "Store"]
      : [`Overwrite ${called(index)}?`, "The camera's position of now replaces the one that is stored. The old one cannot be brought back.", "Overwrite"],
    clear: (index) => [`Clear ${called(index)}?`, "Its camera position is gone then, and cannot be brought back.", "Clear"],
  };
  async function pressed(button, index) {
    const mode = grid.dataset.mode;
    if (mode !== "store" && isEmpty(index)) {
      // Somebody may have stored it at the device since it was read last.
      await press(button, room, "camera/presets/get");
      if (isEmpty(index)) return toast(`${capital(called(index))} is empty`, mode === "clear" ? "There is nothing to clear." : "Choose Store to save a camera position in it.", "");
    }
    if (mode in questions && !(await confirmed(...questions[mode](index)))) return choose("activate");
    const result = await press(button, room, `camera/preset/${index}/${mode}`);
    // Storing and clearing apply to one preset: the next press recalls again.
    if (result?.ok && mode !== "activate") choose("activate");
  }
  const buttons = [];
  for (let index = 1; index <= 10; index += 1) {
    const button = el("button", { type: "button", "data-preset": index, click: () => pressed(button, index) }, el("span", {}, String(index)), el("small", { class: "empty-mark", hidden: true }, "empty"));
    buttons.push(button);
  }
  grid.append(...buttons);
  scope.watch([`${base}camera/presets`, `${base}camera/presets/names`], () => {
    const known = list(store.get(`${base}camera/presets`));
    const names = store.get(`${base}camera/presets/names`);
    grid.dataset.named = isObject(names);
    for (const button of buttons) {
      const number = button.dataset.preset;
      const stored = known.find((preset) => String(preset.index) === number)?.stored === true;
      const name = isObject(names) ? names[number] : undefined;
      button.dataset.stored = stored;
      button.lastChild.hidden = !isEmpty(number);
      button.title = name ?? "";
      setText(button.firstChild, name ?? number);
      button.setAttribute("aria-description", `Preset ${number}, ${stored ? "stored" : "empty"}`);
    }
  });
  choose("activate");
  return el("div", { class: "stack" }, el("div", { class: "row spread" }, el("h3", {}, "Presets"), segments), grid, hint);
}
