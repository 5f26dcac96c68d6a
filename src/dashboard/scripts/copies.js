// A command as other programs send it, to be copied: with every character quoted as they need it, and a
// placeholder instead of a token or password.

const TOKEN_PLACEHOLDER = "TOKEN";

/// Where clients reach the gateway, as far as this page knows: `gateway/info` does not tell it to a token
/// that is limited to rooms.
function clientAddresses() {
  const { mqtt, tcp } = store.get("gateway/info")?.configuration ?? {};
  const broker = brokerOf(mqtt?.url);
  return {
    broker: { ...broker, login: broker.embedded ? mqtt?.users === true : mqtt?.username !== undefined && mqtt?.username !== null },
    prefix: mqtt?.topic_prefix ? `${mqtt.topic_prefix}/` : "",
    lines: tcp?.listen ? { ...hostAndPort(tcp.listen), tls: tcp.tls === true } : null,
    token: Boolean(sessionStorage.getItem("token")),
  };
}

/// The host and port that a broker's address names; of the gateway's own, as seen from here.
function brokerOf(address) {
  const found = /^(embedded|mqtts?):\/\/(.+)$/.exec(address ?? "");
  if (!found) return { host: null, port: null, tls: false, embedded: false };
  const [, scheme, place] = found;
  const tls = scheme === "mqtts";
  return { port: tls ? "8883" : "1883", ...hostAndPort(place), tls, embedded: scheme === "embedded" };
}

/// `0.0.0.0:1883` and the like listen everywhere: then the host is the one of this page.
function hostAndPort(place) {
  const [, host, port] = /^(\[[^\]]*\]|[^:/]*)(?::(\d+))?/.exec(place);
  const bare = host.replace(/^\[|\]$/g, "");
  const everywhere = bare === "0.0.0.0" || bare === "::";
  return { host: everywhere ? location.hostname.replace(/^\[|\]$/g, "") : bare, ...(port ? { port } : {}) };
}

/// A word of a shell: nothing in single quotes means anything, except the quote itself.
const shellWord = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/// A double-quoted text of YAML. JSON's quoting is YAML's, but the line ends of Unicode must be escaped too.
const yamlText = (text) =>
  JSON.stringify(text).replace(/[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

/// A payload that Home Assistant does not take for a template.
const withoutTemplate = (text) => (/\{[{%#]/.test(text) ? `{{ ${JSON.stringify(text).replace(/\{/g, "\\u007b")} }}` : text);

/// A topic as a path: what a URL cannot hold is percent-encoded, what is already stays.
const pathOf = (topic) => topic.split("/").map((part) => part.split("%").map(encodeURIComponent).join("%")).join("/");

/// A topic without blanks, which end it in a line.
const lineTopic = (topic) => topic.replace(/\s/g, (blank) => encodeURIComponent(blank));

/// A payload on one line: line ends only stay inside of a JSON text.
const linePayload = (payload) => (/[\r\n]/.test(payload) ? JSON.stringify(payload) : payload);

/// The ways to send `payload`, a text, to `topic`, each with its name. An empty payload is none.
function copies(topic, payload) {
  const { broker, prefix, lines, token } = clientAddresses();
  const full = prefix + topic;
  const publish = ["mosquitto_pub", "-h", shellWord(broker.host ?? "BROKER"), "-p", broker.port ?? "1883"];
  if (broker.tls) publish.push("--tls-use-os-certs");
  if (broker.login) publish.push("-u", "USER", "-P", "PASSWORD");
  publish.push("-t", shellWord(full), ...(payload === "" ? ["-n"] : ["-m", shellWord(payload)]));
  const post = ["curl", "-X", "POST"];
  if (token) post.push("-H", shellWord(`Authorization: Bearer ${TOKEN_PLACEHOLDER}`));
  // Not -d, which reads a file where the payload begins with @.
  if (payload !== "") post.push("--data-raw", shellWord(payload));
  post.push(shellWord(gatewayAddress(pathOf(topic)).href));
  const line = `${lineTopic(topic)}${payload === "" ? "" : ` ${linePayload(payload)}`}`;
  const action = ["action: mqtt.publish", "data:", `  topic: ${yamlText(full)}`, ...(payload === "" ? [] : [`  payload: ${yamlText(withoutTemplate(payload))}`])];
  return [
    { name: "mosquitto_pub", text: publish.join(" "), about: broker.host ? "" : "BROKER stands for the broker's address." },
    { name: "curl", text: post.join(" "), about: token ? `${TOKEN_PLACEHOLDER} stands for the token.` : "" },
    { name: "TCP line", text: token ? `token ${TOKEN_PLACEHOLDER}\n${line}` : line, about: lines ? `Send it to ${lines.host}, port ${lines.port}${lines.tls ? ", over TLS" : ""}; each line ends with CR LF or LF.` : "Send it to the address under [tcp] listen in the gateway's configuration." },
    { name: "Home Assistant", text: action.join("\n"), about: "An action for a script or an automation." },
  ];
}

/// Puts a text on the clipboard; gives whether that worked. Over plain HTTP a browser has no clipboard for
/// scripts, except by a selection.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "off-screen", "aria-hidden": "true", tabindex: "-1", readonly: true });
    area.value = text;
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus();
    return done;
  }
}

/// The ways to send a command, with a button that copies the chosen one. `command` gives its topic and
/// payload. Gives the element, and a function that shows it again.
function copyBox(command) {
  let chosen = sessionStorage.getItem("copy-as") ?? "mosquitto_pub";
  const text = el("pre", { tabindex: "0", "aria-label": "The command to copy" });
  const about = el("p", { class: "dim small-text" });
  const copy = el("button", { class: "small", type: "button", click: async () => {
    const done = await copyText(text.textContent);
    setText(copy, done ? "Copied" : "Select the text and copy it");
    setTimeout(() => setText(copy, "Copy"), 2000);
  } }, "Copy");
  const choice = el("select", { "aria-label": "Copy as", change: () => {
    chosen = choice.value;
    sessionStorage.setItem("copy-as", chosen);
    show();
  } });
  function show() {
    const { topic, payload } = command();
    const all = copies(topic, payload);
    if (choice.options.length === 0) choice.append(...all.map(({ name }) => el("option", { value: name }, name)));
    const shown = all.find(({ name }) => name === chosen) ?? all[0];
    choice.value = shown.name;
    setText(text, shown.text);
    setText(about, shown.about);
    about.hidden = shown.about === "";
  }
  const box = el("section", { class: "stack copy-box", "aria-label": "Copy the command" },
    el("div", { class: "row spread" }, el("h3", { class: "grow" }, "Copy as"), choice, copy), text, about);
  return { box, show };
}
