// The panel of checks, servers, versions and the restart.

const STATUS_NAMES = new Map(Object.entries({ ipnetwork: "Network", sipserver: "SIP server", gatekeeper: "Gatekeeper", remotecontrol: "Remote control", globaldirectory: "Global directory", globaldirectoryserver: "Global directory", idledisplay: "Displays" }));

function systemPanel(scope, room) {
  const base = `room/${room}/`;
  const tone = (value) => (/^(up|all_up|on|online|registered|ok|ready)$/i.test(value) ? "good" : /^(off|disabled|none|unknown|not_configured)$/i.test(value) ? "" : "bad");
  const state = el("span", { class: "pill" });
  const checks = el("ul", { class: "checks" });
  const facts = el("dl", { class: "pairs" });
  scope.watch([`${base}system/state`], () => {
    setText(state, capital(words(store.get(`${base}system/state`))));
    state.hidden = store.get(`${base}system/state`) === undefined;
  });
  scope.watch([`${base}system/status/`], () => {
    const prefix = `${base}system/status/`;
    const items = store.below(prefix).map((topic) => ({ name: topic.slice(prefix.length), value: [store.get(topic)].flat().map(String) }));
    checks.hidden = items.length === 0;
    checks.replaceChildren(...items.map(({ name, value }) => {
      const worst = value.map(tone).includes("bad") ? "bad" : tone(value[0]);
      const text = STATUS_NAMES.get(name) ?? capital(words(name));
      return el("li", { class: "status", "data-tone": worst, title: value.join(", ") }, worst === "good" ? text : `${text}: ${words(value.join(", "))}`);
    }));
  });
  scope.watch([`${base}system/info`, `${base}system/sip_servers`, `${base}system/h323_gatekeepers`, `${base}session`], () => {
    const servers = (topic) => list(store.get(base + topic)).map((server) => `${server.address || "not set"} (${words(server.state)})`).join(", ");
    const info = store.get(`${base}system/info`) ?? {};
    const pairs = [
      ["SIP", servers("system/sip_servers")], ["H.323 gatekeeper", servers("system/h323_gatekeepers")],
      ["Model", info.model ?? info.modelName], ["Firmware", info.softwareVersion ?? info.buildVersion], ["Serial number", info.serialNumber],
      ["Logged in as", store.get(`${base}session`)?.userId],
    ].filter(([, value]) => value);
    facts.replaceChildren(...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  });
  const reboot = el("button", { class: "warning", type: "button", click: async () => {
    const sure = await confirmed(`Restart ${roomName(room)}?`, "The device restarts and is offline for some minutes. A running call ends.", "Restart");
    if (sure) press(reboot, room, "system/reboot");
  } }, "Restart the device…");
  const card = panel("System", "pulse", checks, facts, el("div", { class: "row end" }, reboot));
  card.firstChild.append(state);
  return card;
}
