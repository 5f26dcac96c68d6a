// The form of one command in the console.

/// Shows a command's form; gives a function that shows its frame again.
function commandForm(card, command, room) {
  const values = new Map();
  const parameters = [...command.topic.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const fields = parameters.map((name) => {
    const known = el("datalist", { id: `known-${name}` });
    const input = el("input", { list: known.id, spellcheck: "false", autocomplete: "off", required: true, input: () => preview(), focus: () => fill() });
    // Also at each focus: the room's states may come, and change, after the form is shown.
    const fill = () => {
      const all = suggestions(room(), name);
      known.replaceChildren(...all.map((value) => el("option", { value })));
      if (input.value === "") input.value = all[0] ?? "";
      preview();
    };
    values.set(name, { input, fill });
    const about = CATALOGUE.parameters[name];
    return el("label", { class: "field" }, el("span", {}, name), input, about ? el("small", { class: "dim" }, capital(about)) : null, known);
  });
  const payload = el("textarea", { rows: Math.min(8, sample(command).split("\n").length + 1), spellcheck: "false", "aria-label": "Payload", placeholder: "Empty", focus: () => (isOwn = true), input: () => preview() });
  // The state's value of now, until a person comes to write something else.
  let isOwn = false;
  const begin = () => {
    if (isOwn) return;
    const state = command.topic.endsWith("/set") ? store.get(`room/${room()}/${topic().replace(/\/set$/, "")}`) : undefined;
    const value = sample(command, state);
    if (payload.value !== value) payload.value = value;
  };
  const topic = () => command.topic.replace(/\{(\w+)\}/g, (_, name) => level(values.get(name).input.value));
  const frame = () => ({ topic: `room/${room()}/${topic()}`, ...(payload.value.trim() === "" ? {} : { payload: typed(payload.value) }) });
  // JSON is sent as JSON, anything else as text. A number that JavaScript would change stays text.
  const typed = (text) => {
    try {
      const value = JSON.parse(text);
      return typeof value === "number" && String(value) !== text.trim() ? text.trim() : value;
    } catch {
      return text.trim();
    }
  };
  const sent = el("code", {});
  const copying = copyBox(() => {
    const { topic, payload = "" } = frame();
    return { topic, payload: short(payload) };
  });
  const preview = () => {
    begin();
    setText(sent, JSON.stringify(frame()));
    copying.show();
  };
  const outcome = el("span", { class: "pill" });
  const answer = el("pre", { tabindex: "0", "aria-label": "Result" });
  const save = el("a", { class: "small-text", hidden: true }, "Save the file");
  const result = el("div", { class: "stack", hidden: true, role: "status" }, el("div", { class: "row" }, el("h3", { class: "grow" }, "Result"), save, outcome), answer);
  const button = el("button", { class: command.guarded ? "danger" : "primary", type: "submit" }, icon("send"), "Send");
  let url = null;
  const rule = command.fields?.length
    ? el("dl", { class: "pairs" }, ...command.fields.flatMap((field) => [el("dt", { class: "mono" }, field.name + (field.required ? "" : "?")), el("dd", {}, field.about ? el("div", {}, field.about) : null, el("span", { class: field.about ? "dim" : "" }, capital(field.rule)))]))
    : el("span", {}, command.takes === "none" ? "Takes no payload." : `Takes ${command.takes}.`);
  const form = el("form", { class: "stack", submit: async (event) => {
    event.preventDefault();
    if (command.guarded && !(await confirmed(`Send ${topic()}?`, "This command is guarded: it makes a lasting change, or interrupts what the device is doing.", "Send"))) return;
    const { bytes, roundTripMs, ...rest } = await whileBusy(button, send(room(), topic(), frame().payload, { quiet: true }));
    result.hidden = false;
    const inGateway = rest.took_ms === undefined ? "" : `, ${rest.took_ms} ms in the gateway`;
    setTone(outcome, `${rest.ok ? "ok" : words(rest.error.code)} · ${Math.round(roundTripMs)} ms${inGateway}`, rest.ok ? "good" : "bad");
    setText(answer, pretty(rest));
    if (url) URL.revokeObjectURL(url);
    save.hidden = !bytes;
    if (!bytes) return;
    // The file is only saved: with a type from the device it could open as a page of this origin.
    url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    save.href = url;
    save.download = topic().replace(/\/get$/, "").replaceAll("/", "-") + (/jpeg/.test(rest.body.content_type) ? ".jpg" : "");
  } },
    ...fields,
    command.takes === "none" ? null : el("label", { class: "field" }, el("span", {}, "Payload"), payload),
    command.file ? el("p", { class: "dim small-text" }, `Upload files over HTTP instead: POST /room/${room()}/${command.topic}`) : null,
    el("div", { class: "row spread" }, el("div", { class: "small-text dim grow mono" }, sent), button));
  card.replaceChildren(...[
    el("div", { class: "row" }, el("h2", { class: "mono grow" }, command.topic), command.guarded ? el("span", { class: "pill", "data-tone": "warn" }, "guarded") : null, el("span", { class: "pill" }, command.kind)),
    command.about ? el("p", { class: "about" }, command.about) : null,
    el("p", { class: "dim small-text mono" }, command.requests),
    el("div", { class: "rule" }, rule, command.bare ? el("p", { class: "dim small-text" }, `${command.bare} can also be sent alone, without an object.`) : null),
    form, result, command.file ? null : copying.box,
  ].filter(Boolean));
  preview();
  for (const { fill } of values.values()) fill();
  return preview;
}
