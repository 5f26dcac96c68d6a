// The bar at the top: whether the gateway is connected, which token is used, and what it permits.

const access = { readOnly: false };

/// When the connection was lost; null while it is there, and before it was there for the first time.
let lostAt = null;

const connection = new Connection({
  opened: () => store.beginSync(),
  retained: (topic, value) => store.set(topic, value),
  event: eventReceived,
  synchronized() {
    store.endSync();
    checkAccess();
  },
  completed: () => store.notify("connection"),
  // The gateway keeps these topics current no longer.
  unsubscribed: () => store.keepOnly((topic) => connection.isSubscribed(topic)),
  state: showConnection,
});

let countdown;
function showConnection(state, { reason, until }) {
  clearInterval(countdown);
  const label = $("link");
  if (state === "up") lostAt = null;
  else if (document.body.dataset.link === "up") lostAt = new Date();
  document.body.dataset.link = state === "up" ? "up" : "down";
  $("retry").hidden = state !== "down";
  $("forget").hidden = !sessionStorage.getItem("token") || state === "refused";
  if (state === "up") {
    setTone(label, "Connected", "good");
  } else if (state === "connecting") {
    setTone(label, "Connecting…", "wait");
  } else if (state === "refused") {
    setTone(label, "Token needed", "bad");
    askForToken();
  } else {
    const showSeconds = () => setTone(label, `Reconnecting in ${Math.max(1, Math.round((until - Date.now()) / 1000))} s`, "bad");
    showSeconds();
    countdown = setInterval(showSeconds, 1000);
  }
  showNotice(reason);
  store.notify("connection");
}

/// What applies to the whole page, in words. The seconds in the bar are not for screen readers.
function showNotice(reason) {
  let text = "";
  if (connection.state === "down") text = `The connection to the gateway is lost${reason ? ` (${reason})` : ""}. ${lostAt ? `The values are as of ${moment(lostAt)}. ` : ""}The page reconnects automatically.`;
  else if (connection.isUp && access.readOnly) text = "Read-only token: you can see everything but change nothing.";
  // The notice stays while the page tries again; hiding it would make the page jump.
  if (connection.state === "connecting" && !$("notice").hidden) return;
  $("notice").hidden = text === "";
  setText($("notice"), text);
}

function askForToken() {
  const dialog = $("token");
  const input = $("token-input");
  if (sessionStorage.getItem("token")) setText($("token-why"), "The gateway does not accept this token. Valid tokens are those under [[http.token]] in the gateway's configuration.");
  forgetToken();
  input.value = "";
  // A tablet at the wall is started again by itself, with nobody there who knows the token.
  $("token-keep").checked = location.hash.startsWith("#/panel/");
  if (!dialog.open) dialog.showModal();
}

/// Finds out whether the token may send commands. It asks, and sends none: one that is refused is an event of the room.
async function checkAccess() {
  const [room] = Object.keys(store.get("gateway/info")?.rooms ?? {});
  if (room) {
    const response = await askGateway(gatewayAddress(`room/${encodeURIComponent(room)}/commands`)).catch(() => null);
    const answer = await response?.json().catch(() => null);
    if (connection.isUp && answer?.commands) access.readOnly = !answer.commands.some((each) => each.allowed);
  }
  showNotice();
  store.notify("connection");
}
