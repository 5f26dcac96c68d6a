// Chooses the page by the address, and starts everything.

/// A part of the address; one that cannot be decoded counts as empty.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

let page = new Scope();
function show() {
  const [name = "", argument = ""] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  page.end();
  page = new Scope();
  const main = $("main");
  main.replaceChildren();
  if (name === "room" && argument) roomPage(page, main, argument);
  else if (name === "console") consolePage(page, main, argument);
  else if (name === "log") logPage(page, main);
  else if (name === "gateways") gatewaysPage(page, main);
  else if (name === "panel" && argument) wallPanelPage(page, main, argument);
  else overviewPage(page, main);
  const current = ["console", "log", "gateways"].includes(name) ? name : "rooms";
  for (const item of document.querySelectorAll("nav a")) {
    if (item.dataset.page === current) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
}

window.addEventListener("hashchange", () => {
  show();
  $("main").scrollTop = 0;
  // Tells people who cannot see it that the page changed.
  $("main").focus({ preventScroll: true });
});
$("retry").addEventListener("click", () => connection.reconnectNow());
$("forget").addEventListener("click", () => {
  forgetToken();
  location.reload();
});
$("token").addEventListener("cancel", (event) => event.preventDefault());
$("token").addEventListener("close", () => {
  useToken($("token-input").value.trim(), $("token-keep").checked);
  $("token-input").value = "";
  connection.connect();
});
window.addEventListener("online", () => connection.wake());
window.addEventListener("pageshow", (event) => event.persisted && connection.wake());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && connection.wake());

// What every page needs: names, availability, problems, calls and events.
connection.subscribe(["gateway/#", "room/+/availability", "room/+/problem", "room/+/system/info", "room/+/call/state", "room/+/event/#"]);
takeKeptToken();
$("manifest").href = gatewayAddress("manifest.webmanifest");
show();
connection.connect();
