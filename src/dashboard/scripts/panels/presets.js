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
  const buttons = [];
  for (let index = 1; index <= 10; index += 1) {
    const button = el("button", { type: "button", "data-preset": index, click: async () => {
      const mode = grid.dataset.mode;
      const result = await press(button, room, `camera/preset/${index}/${mode}`);
      // Storing and clearing apply to one preset: the next press recalls again.
      if (result?.ok && mode !== "activate") choose("activate");
    } }, el("span", {}, String(index)));
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
      button.title = name ?? "";
      setText(button.firstChild, name ?? number);
      button.setAttribute("aria-label", `Preset ${name ? `${number}, ${name}` : number}, ${stored ? "stored" : "empty"}`);
    }
  });
  choose("activate");
  return el("div", { class: "stack" }, el("div", { class: "row spread" }, el("h3", {}, "Presets"), segments), grid, hint);
}
