// The console: every command and query of the catalogue, to be sent by hand.

/// The gateway writes its catalogue into the page; the page has no list of topics of its own.
const CATALOGUE = JSON.parse(document.getElementById("catalogue").textContent);

/// Possible values of a topic's parameter, taken from the room's states.
function suggestions(room, parameter) {
  const state = (topic) => store.get(`room/${room}/${topic}`);
  const conferences = list(state("calls"));
  const entries = list(state("directory/favorites")?.entries);
  const from = {
    index: () => Array.from({ length: 10 }, (_, index) => index + 1),
    meeting_id: () => list(state("calendar/meetings")).map(({ id }) => id),
    source_id: () => list(state("camera/near")).map(({ cameraIndex }) => cameraIndex),
    conf_id: () => conferences.map(({ id }) => id),
    conn_id: () => conferences.flatMap(({ connections }) => list(connections)).map(({ id }) => id),
    term_id: () => conferences.flatMap(({ terminals }) => list(terminals)).map(({ id }) => id),
    entry_id: () => entries.map(({ id }) => id),
    server_id: () => ["local", "global"],
    name: () => list(state("system/status")).map(({ name }) => String(name).replace("system.status.", "")),
  };
  return (from[parameter]?.() ?? []).filter((value) => value != null).map(String);
}

/// A field's name as devices write it in states.
const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/// A payload to begin with: every required field, with what it is now where `state` is the value of the
/// state that the command sets.
function sample({ fields = [], bare }, state) {
  const now = (field) => (isObject(state) ? state[field.name] ?? state[camelCase(field.name)] : undefined);
  const wanted = fields.filter((field) => field.required || now(field) !== undefined);
  if (wanted.length === 0) return "";
  if (wanted.length === 1 && bare === wanted[0].name) {
    const scalar = state !== undefined && !isObject(state) && !Array.isArray(state) ? state : now(wanted[0]);
    return short(scalar ?? wanted[0].sample);
  }
  return JSON.stringify(Object.fromEntries(wanted.map((field) => [field.name, now(field) ?? field.sample])), null, 2);
}

function consolePage(scope, main, chosen) {
  document.title = "Console – poly2mqtt";
  const search = el("input", { type: "search", placeholder: "Search topics, paths and payloads", "aria-label": "Find a topic", role: "combobox", "aria-expanded": "true", "aria-controls": "topics", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false" });
  const found = el("ul", { id: "topics", class: "topics", role: "listbox", "aria-label": "Topics" });
  const count = el("span", { class: "dim small-text" });
  // The rooms come one by one: until all are there, the first of the list is no choice.
  let wantedRoom = lastRoom;
  const room = el("select", { "aria-label": "Room", change: () => {
    wantedRoom = room.value;
    follow();
  } });
  let preview = () => {};
  const form = el("section", { class: "card panel", "aria-label": "Command" });
  main.append(
    el("div", { class: "row spread" },
      el("div", { class: "head" }, el("h1", {}, "Console"), el("p", { class: "dim" }, "Every command and query, with its payload.")),
      el("div", {}, room)),
    el("div", { class: "console" }, el("section", { class: "card panel", "aria-label": "Topics" }, search, count, found), form));

  // The room's states fill in the parameters.
  let release = () => {};
  function follow() {
    release();
    release = room.value ? connection.subscribe([`room/${room.value}/#`]) : () => {};
    preview();
  }
  scope.onEnd(() => release());
  // Where a command sets a state, its form begins with the value of now.
  scope.watch(["room/"], () => preview());
  scope.watch(["rooms", "gateway/info", "connection"], () => {
    const before = room.value;
    room.replaceChildren(...store.rooms().map((each) => el("option", { value: each }, roomName(each))));
    if ([...room.options].some((option) => option.value === wantedRoom)) room.value = wantedRoom;
    if (connection.isUp) wantedRoom = room.value;
    if (room.value !== before) follow();
  });

  const options = CATALOGUE.topics.map((command, index) => ({
    command,
    text: `${command.topic} ${command.about ?? ""} ${command.takes} ${command.requests} ${command.kind}`.toLowerCase(),
    element: el("li", { id: `topic-${index}`, role: "option", "aria-selected": "false", "data-topic": command.topic, click: () => select(index) },
      el("span", { class: "mono" }, command.topic), command.guarded ? el("small", {}, "guarded") : null, el("small", {}, command.kind)),
  }));
  found.append(...options.map((option) => option.element));
  let selected = -1;
  function applyFilter() {
    const query = search.value.trim().toLowerCase().split(/\s+/);
    let visible = 0;
    for (const option of options) {
      option.element.hidden = !query.every((word) => option.text.includes(word));
      visible += option.element.hidden ? 0 : 1;
    }
    setText(count, `${visible} of ${options.length} topics`);
  }
  function select(index) {
    options[selected]?.element.setAttribute("aria-selected", "false");
    selected = index;
    const { element, command } = options[index];
    element.setAttribute("aria-selected", "true");
    element.scrollIntoView({ block: "nearest" });
    search.setAttribute("aria-activedescendant", element.id);
    history.replaceState(null, "", `#/console/${encodeURIComponent(command.topic)}`);
    preview = commandForm(form, command, () => room.value);
  }
  function step(by) {
    for (let index = selected + by; index >= 0 && index < options.length; index += by) {
      if (!options[index].element.hidden) return select(index);
    }
  }
  search.addEventListener("input", applyFilter);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "Enter") form.querySelector("input, textarea, button")?.focus();
    else return;
    event.preventDefault();
  });
  applyFilter();
  const start = options.findIndex(({ command }) => command.topic === (chosen || "audio/volume/set"));
  select(Math.max(start, 0));
}
