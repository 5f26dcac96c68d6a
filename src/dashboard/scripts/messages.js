// Short messages in the corner, and the question before a guarded command.

/// Long enough to read two lines.
const TOAST_DURATION = 8000;
/// More would cover the page.
const TOASTS_AT_A_TIME = 3;

function toast(text, detail, tone = "bad") {
  const close = el("button", { class: "quiet small square", type: "button", "aria-label": "Close this message", click: () => message.remove() }, icon("close"));
  const message = el("div", { class: "toast", "data-tone": tone }, el("div", {}, el("b", {}, text), el("span", { class: "dim small-text" }, detail)), close);
  $("toasts").append(message);
  while ($("toasts").children.length > TOASTS_AT_A_TIME) $("toasts").firstChild.remove();
  setTimeout(() => message.remove(), TOAST_DURATION);
}

/// Asks before something that cannot be undone; gives whether the answer was `yes`.
function confirmed(title, text, yes) {
  const dialog = $("confirm");
  setText($("confirm-title"), title);
  setText($("confirm-text"), text);
  setText($("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
