// The page for a tablet at the wall: one room, large buttons, no way to other pages.

const panelHash = (room) => `#/panel/${encodeURIComponent(room)}`;

function wallPanelPage(scope, main, room) {
  const base = `room/${room}/`;
  scope.subscribe(`${base}#`);
  document.body.dataset.view = "panel";
  scope.onEnd(() => delete document.body.dataset.view);
  const manifest = $("manifest");
  manifest.href = gatewayAddress(`manifest.webmanifest?room=${encodeURIComponent(room)}`);
  scope.onEnd(() => (manifest.href = gatewayAddress("manifest.webmanifest")));

  const name = el("h1", { dir: "auto" });
  const time = el("time", { class: "wall-time" });
  const tell = () => setText(time, clock.format(new Date()));
  tell();
  scope.every(1000, tell);
  scope.watch([`${base}system/info`, "gateway/info"], () => {
    setText(name, roomName(room));
    document.title = roomName(room);
  });
  const asleep = el("span", { class: "pill", hidden: true }, "Asleep");
  scope.watch([`${base}system/state`], () => (asleep.hidden = store.get(`${base}system/state`) !== "ASLEEP"));
  const controls = el("fieldset", { class: "wall-controls", "aria-label": "Controls" });
  const missing = el("p", { class: "card empty", hidden: true }, "There is no such room, or this token is not for it.");
  scope.watch(["connection", "availability", `${base}availability`], () => {
    controls.disabled = access.readOnly || availability(room) !== "online";
    missing.hidden = !connection.isUp || store.get(`${base}availability`) !== undefined;
    controls.hidden = !missing.hidden;
  });
  const old = el("span", { class: "pill as-of", hidden: true });
  markStale(scope, room, main, old);
  scope.onEnd(() => main.removeAttribute("data-stale"));
  const screen = el("p", { class: "dim small-text", hidden: true }, "This browser does not let the page keep the screen on: it needs HTTPS. Switch the screen's time-out off in the tablet's settings.");
  keepScreenOn(scope, (held) => {
    screen.hidden = held;
    document.body.dataset.awake = held;
  });
  scope.onEnd(() => delete document.body.dataset.awake);

  // The page of another version of the gateway would not know its topics, and nobody is there to reload it.
  let version;
  scope.watch(["gateway/info"], () => {
    const now = store.get("gateway/info")?.version;
    if (version !== undefined && now !== undefined && now !== version) location.reload();
    version = now ?? version;
  });

  controls.append(wallCalls(scope, room), wallSound(scope, room), wallPresets(scope, room), wallSharing(scope, room), wallMeeting(scope, room));
  main.append(
    el("div", { class: "wall-head" }, name, el("div", { class: "row" }, availabilityPill(scope, room), callPill(scope, room), asleep, old), time),
    problemBox(scope, room), missing, controls, screen);
}

/// A part of the panel, with a heading that is only heard.
const wallPart = (title, ...content) => el("section", { class: "wall-part", "aria-label": title }, ...content);

/// Who calls and who is in the call, with answer, reject and hang up.
function wallCalls(scope, room) {
  const lines = el("ul", { class: "calls", "aria-label": "Calls", "aria-live": "assertive" });
  const hangUp = el("button", { class: "danger wall-button", type: "button", click: () => press(hangUp, room, "call/hangup") }, icon("hangup"), "Hang up");
  const part = wallPart("Call", lines, hangUp);
  showCalls(scope, room, lines, (inACall, count) => {
    hangUp.hidden = !inACall;
    part.hidden = !inACall && count === 0;
  });
  return part;
}

/// Microphone, camera picture and volume.
function wallSound(scope, room) {
  return wallPart("Sound and picture", muteTiles(scope, room), volumeRow(scope, room));
}

/// The camera positions that are stored, by name.
function wallPresets(scope, room) {
  const base = `room/${room}/`;
  const grid = el("div", { class: "wall-grid" });
  const part = wallPart("Camera positions", el("h2", {}, "Camera"), grid);
  let shown = "";
  scope.watch([`${base}camera/presets`, `${base}camera/presets/names`], () => {
    const names = store.get(`${base}camera/presets/names`);
    const stored = list(store.get(`${base}camera/presets`)).filter((preset) => preset.stored === true)
      .map(({ index }) => ({ index, name: String((isObject(names) && names[index]) || `Position ${index}`) }));
    part.hidden = stored.length === 0;
    if (shown === JSON.stringify(stored)) return;
    shown = JSON.stringify(stored);
    grid.replaceChildren(...stored.map(({ index, name }) => {
      const button = el("button", { class: "wall-button", type: "button", "data-preset": index, dir: "auto", click: () => press(button, room, `camera/preset/${index}/activate`) }, el("span", {}, name));
      return button;
    }));
  });
  return part;
}

/// The inputs that can be shared, and which one is.
function wallSharing(scope, room) {
  const base = `room/${room}/`;
  const grid = el("div", { class: "wall-grid" });
  const status = el("span", { class: "pill" });
  const part = wallPart("Sharing", el("div", { class: "row spread" }, el("h2", {}, "Sharing"), status), grid);
  let shown = "";
  scope.watch([`${base}camera/near/connected`, `${base}camera/near/selected_content`, `${base}camera/content_status`], () => {
    const inputs = list(store.get(`${base}camera/near/connected`)?.content).map(({ index, name }) => ({ index, name: String(name) }));
    const selected = store.get(`${base}camera/near/selected_content`)?.cameraIndex;
    const content = store.get(`${base}camera/content_status`);
    setText(status, content === undefined ? "" : capital(words(content).replace(/^content /, "")));
    status.hidden = content === undefined;
    part.hidden = inputs.length === 0;
    if (shown !== JSON.stringify(inputs)) {
      shown = JSON.stringify(inputs);
      grid.replaceChildren(...inputs.map(({ index, name }) => {
        const button = el("button", { class: "wall-button", type: "button", "data-input": index, dir: "auto", click: () => press(button, room, "camera/near/selected_content/set", { source: name }) }, el("span", {}, name));
        return button;
      }));
    }
    for (const button of grid.children) button.setAttribute("aria-pressed", button.dataset.input === String(selected));
  });
  return part;
}

/// The meeting of now or the next one, with a button to join it.
function wallMeeting(scope, room) {
  const base = `room/${room}/`;
  const title = el("b", { dir: "auto" });
  const when = el("span", { class: "dim" });
  let meeting = null;
  const join = el("button", { class: "primary wall-button", type: "button", click: () => press(join, room, `calendar/meeting/${level(meeting.id)}/dial`) }, "Join");
  const part = wallPart("Meeting", el("div", { class: "wall-meeting" }, el("div", { class: "grow" }, title, when), join));
  const show = () => {
    const [now, next] = ["current", "next"].map((which) => store.get(`${base}calendar/${which}`));
    meeting = meetingTimes(now)?.end > Date.now() ? now : next;
    const times = meetingTimes(meeting);
    part.hidden = !times;
    if (!times) return;
    setText(title, meetingName(meeting));
    setText(when, `${times.day}${clock.format(times.begin)} – ${clock.format(times.end)}`);
    join.hidden = meeting.canDial !== true;
    join.setAttribute("aria-label", `Join ${meetingName(meeting)}`);
  };
  scope.watch([`${base}calendar/current`, `${base}calendar/next`], show);
  scope.every(30_000, show);
  return part;
}
