// The page of the first start: tries a device, shows its certificate, adds the room, and waits for the gateway.
"use strict";

const byId = (id) => document.getElementById(id);
const value = (id) => byId(id).value.trim();

function say(text, wrong = false) {
  byId("message").textContent = text;
  byId("message").className = wrong ? "wrong" : "";
}

/** Sends an object; gives the answer, or throws what the program says is wrong. */
async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code: value("code"), address: value("address"), ...body }),
  });
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.error.message);
  return json;
}

/** Shows for how long already, until the work is done; a device that is switched off takes ten seconds. */
async function during(text, work) {
  const started = Date.now();
  const show = () => say(`${text} ${Math.round((Date.now() - started) / 1000)} s`);
  say(text);
  const timer = setInterval(show, 1000);
  const buttons = [...document.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  try {
    return await work;
  } finally {
    clearInterval(timer);
    for (const button of buttons) button.disabled = false;
  }
}

function handle(id, action) {
  byId(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await action();
    } catch (error) {
      say(error instanceof TypeError ? "The program does not answer any more." : error.message, true);
    }
  });
}

// Another address may show another certificate.
byId("address").addEventListener("input", () => {
  byId("add").hidden = true;
});

handle("find", async () => {
  const found = await during("Trying the device …", post("try", {}));
  byId("certificate").textContent = found.certificate;
  byId("add").hidden = false;
  byId("password").focus();
  say("");
});

handle("add", async () => {
  const room = {
    certificate: byId("certificate").textContent,
    user: value("user"),
    password: byId("password").value,
    id: value("id"),
  };
  const added = await during("Logging in …", post("add", room));
  byId("password").value = "";
  byId("find").hidden = true;
  byId("add").hidden = true;
  say(`Room ${added.room} is in ${added.file}. The gateway starts …`);
  await gatewayStarted();
  location.replace("./");
});

/** Waits until the gateway answers where this page was. One that cannot start says why where it was started. */
async function gatewayStarted() {
  const late = Date.now() + 20000;
  for (;;) {
    if (Date.now() > late) say("The gateway does not answer yet: look at what the program printed where it was started.", true);
    await new Promise((resolve) => setTimeout(resolve, 300));
    try {
      if ((await fetch("healthz", { cache: "no-store" })).ok) return;
    } catch {
      // It is not there yet.
    }
  }
}
