// The panel of calls: dial, answer, hang up, keypad.

function callPanel(scope, room) {
  const base = `room/${room}/`;
  const address = el("input", { name: "address", autocomplete: "off", autocapitalize: "off", spellcheck: "false", placeholder: "Number or address", "aria-label": "Number or address to call", list: "favorites" });
  const favorites = el("datalist", { id: "favorites" });
  const dial = el("button", { class: "primary", type: "submit" }, icon("phone"), "Call");
  const form = el("form", { class: "row", submit: async (event) => {
    event.preventDefault();
    if (address.value.trim() === "") return address.focus();
    const result = await press(dial, room, "call/dial", { address: address.value.trim() });
    if (result?.ok) address.value = "";
  } }, el("div", { class: "grow" }, address), dial);
  scope.watch([`${base}directory/favorites`], () => {
    const numbers = list(store.get(`${base}directory/favorites`)?.entries).flatMap((entry) =>
      list(entry.devices).flatMap((device) => list(device.addressList)).map(({ number }) => el("option", { value: number }, entry.displayName ?? "")));
    favorites.replaceChildren(...numbers);
  });

  const calls = el("ul", { class: "calls", "aria-label": "Calls", "aria-live": "polite" });
  const hangUp = el("button", { class: "danger", type: "button", click: () => press(hangUp, room, "call/hangup") }, icon("hangup"), "Hang up");
  const keysOpen = el("button", { type: "button", "aria-expanded": "false", click: () => showKeys(keys.hidden) }, "Keypad");
  const inCall = el("div", { class: "row" }, hangUp, keysOpen);
  const keys = el("div", { class: "pad-keys", hidden: true, role: "group", "aria-label": "Keypad" },
    ..."123456789*0#".split("").map((key) => {
      const button = el("button", { type: "button", "aria-label": key === "*" ? "star" : key === "#" ? "hash" : key, click: () => send(room, "audio/dtmf/play", key) }, key);
      return button;
    }));
  function showKeys(open) {
    keys.hidden = !open;
    keysOpen.setAttribute("aria-expanded", open);
  }

  const last = el("p", { class: "dim small-text", hidden: true });
  scope.watch([`${base}call/last`], () => {
    const call = store.get(`${base}call/last`);
    last.hidden = !isObject(call);
    if (last.hidden) return;
    const ended = new Date(call.ended ?? NaN);
    const how = call.outcome === "answered" ? `${Math.ceil((call.duration ?? 0) / 60)} min` : words(call.outcome);
    setText(last, ["Last call: " + (call.name || call.address || "unknown"), words(call.direction), how, Number.isNaN(+ended) ? "" : ended.toLocaleString()].filter(Boolean).join(", "));
  });

  showCalls(scope, room, calls, (inACall) => {
    // A part that is hidden loses the focus: who dialled with the keyboard hangs up next, and the other way round.
    const isNew = inACall === inCall.hidden;
    const goes = inACall ? [form, calls] : [inCall, keys];
    const hadFocus = isNew && goes.some((part) => part.contains(document.activeElement));
    inCall.hidden = !inACall;
    if (!inACall) showKeys(false);
    form.hidden = inACall;
    if (hadFocus) (inACall ? hangUp : address).focus();
  });
  return panel("Call", "phone", calls, inCall, keys, form, favorites, last);
}

// Keeps the calls of a room in a list. `changed` is told whether a call is up, and how many lines there are.
function showCalls(scope, room, lines, changed) {
  const base = `room/${room}/`;
  let shown = new Map();
  scope.watch([`${base}calls`, `${base}call/state`], () => {
    const connections = list(store.get(`${base}calls`)).flatMap((conference) =>
      list(conference.connections)
        .filter(({ state }) => !["INACTIVE", "DISCONNECTED"].includes(String(state).toUpperCase()))
        .map(({ id, address, state, incoming, answerable }) => ({ id, address, state, incoming, ringing: conference.id === "PENDING" || answerable === true })));
    const inACall = !["idle", "ringing", undefined].includes(store.get(`${base}call/state`));
    changed(inACall, connections.length);
    // Unchanged calls keep their elements, so that a button keeps the focus, and one that is being pressed stays.
    const all = new Map(connections.map((connection) => {
      const text = JSON.stringify(connection);
      return [text, shown.get(text) ?? callLine(room, connection)];
    }));
    for (const [text, line] of shown) if (!all.has(text)) line.remove();
    [...all.values()].forEach((line, index) => {
      if (lines.children[index] !== line) lines.insertBefore(line, lines.children[index] ?? null);
    });
    lines.hidden = connections.length === 0;
    shown = all;
  });
}

function callLine(room, { id, address, state, incoming, ringing }) {
  const status = ringing ? "is calling" : `${words(state)}${incoming ? ", incoming" : ""}`;
  const line = el("li", { class: ringing ? "ringing" : "" }, el("div", { class: "grow" }, el("b", { class: "caller", dir: "auto" }, address ?? "Unknown"), el("small", { class: "dim" }, status)));
  const act = (kind, verb, text, symbol) => {
    const button = el("button", { class: kind, type: "button", "data-verb": verb, click: () => press(button, room, `call/connection/${level(id)}/${verb}`) }, icon(symbol), text);
    return button;
  };
  if (ringing) line.append(act("answer", "answer", "Answer", "phone"), act("danger", "reject", "Reject", "hangup"));
  return line;
}
