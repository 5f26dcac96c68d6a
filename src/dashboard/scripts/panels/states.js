// The table of all states of a room, live.

function statesPanel(scope, room) {
  const prefix = `room/${room}/`;
  const count = el("span", { class: "dim small-text" });
  const filter = el("input", { type: "search", placeholder: "Filter", "aria-label": "Filter the states", input: () => applyFilter() });
  const body = el("tbody");
  const rows = new Map();
  function add(topic) {
    const value = el("button", { type: "button", "aria-expanded": "false", click: () => {
      value.setAttribute("aria-expanded", value.ariaExpanded !== "true");
      write(topic);
    } });
    const row = el("tr", {}, el("td", { class: "topic" }, topic.slice(prefix.length)), el("td", { class: "value" }, value));
    // Sorted, so that a topic is always at the same place.
    const after = [...rows.keys()].filter((known) => known > topic).sort()[0];
    body.insertBefore(row, after ? rows.get(after).row : null);
    rows.set(topic, { row, value });
    applyFilter(topic);
  }
  function write(topic) {
    const { value } = rows.get(topic);
    const current = store.get(topic);
    setText(value, value.ariaExpanded === "true" ? pretty(current) : short(current));
  }
  function applyFilter(only) {
    const query = filter.value.trim().toLowerCase();
    const isVisible = (topic) => topic.slice(prefix.length).toLowerCase().includes(query) || short(store.get(topic) ?? "").toLowerCase().includes(query);
    for (const topic of only ? [only] : rows.keys()) rows.get(topic).row.hidden = !isVisible(topic);
    const visible = [...rows.values()].filter(({ row }) => !row.hidden).length;
    setText(count, visible === rows.size ? `${rows.size} topics` : `${visible} of ${rows.size} topics`);
  }
  scope.watch([prefix], (changed) => {
    for (const topic of changed) {
      if (store.get(topic) === undefined) {
        rows.get(topic)?.row.remove();
        rows.delete(topic);
        continue;
      }
      const known = rows.has(topic);
      if (!known) add(topic);
      write(topic);
      if (!known) continue;
      const { row } = rows.get(topic);
      row.classList.remove("fresh");
      requestAnimationFrame(() => row.classList.add("fresh"));
    }
    applyFilter();
  });
  // Closed on a phone, where the table would be very long.
  return el("details", { class: "card panel", "aria-label": "States", open: matchMedia("(min-width: 761px)").matches },
    el("summary", {}, el("h2", {}, "All states of the device"), count),
    el("div", {}, filter),
    el("table", { class: "table states" }, el("thead", {}, el("tr", {}, el("th", {}, `Topic below ${prefix}`), el("th", {}, "Value"))), body));
}
