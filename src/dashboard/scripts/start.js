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
  else overviewPage(page, main);
  const current = name === "console" || name === "log" ? name : "rooms";
  for (const item of document.querySelectorAll("nav a")) {
    if (item.dataset.page === current) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
}

window.addEventListener("hashchange", () => {
  show();
  window.scrollTo(0, 0);
  // Tells people who cannot see it that the page changed.
  $("main").focus({ preventScroll: true });
});
$("retry").addEventListener("click", () => connection.reconnectNow());
$("forget").addEventListener("click", () => {
  sessionStorage.removeItem("token");
  location.reload();
});
$("token").addEventListener("cancel", (event) => event.preventDefault());
$("token").addEventListener("close", () => {
  sessionStorage.setItem("token", $("token-input").value.trim());
  $("token-input").value = "";
  connection.connect();
});
window.addEventListener("online", () => connection.reconnectNow());
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && connection.reconnectNow());

// What every page needs: names, availability, problems, calls and events.
connection.subscribe(["gateway/#", "room/+/availability", "room/+/problem", "room/+/system/info", "room/+/call/state", "room/+/event/#"]);
show();
connection.connect();
