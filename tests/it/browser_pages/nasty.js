// Runs in the page before its own script. It gives the page rooms whose texts are as people and devices
// write them at worst, and counts the subscriptions that have no answer yet. The gateway's own states come
// too. `base` holds the states of one of its rooms.
(base) => {
  const LONG = "Besprechungsraumvorbereitungsausschuss".repeat(6).slice(0, 200);
  const CALLER = "sip:conference.room.4711.building-9@video.example.com.";
  const ARABIC = "قاعة الاجتماعات الكبرى في الطابق الثالث من المبنى الرئيسي";
  const EMOJI = "👩‍🚀🚀🎉".repeat(20);
  const names = {
    long: LONG,
    twentyseven: "Videokonferenzraum-Nord-3OG",
    rtl: ARABIC,
    emoji: EMOJI,
    offline: `${LONG} offline`,
  };
  const states = {};
  const room = (id, name, changes = {}) => {
    const all = { ...base, availability: "online", problem: { code: "none" }, "system/info": { ...base["system/info"], systemName: name, model: LONG }, ...changes };
    for (const [topic, value] of Object.entries(all)) states[`room/${id}/${topic}`] = value;
  };
  const ringing = (text, address) => ({
    "call/state": "ringing",
    calls: [{ id: "PENDING", connections: [{ id: 7, address, state: "RINGING", incoming: true, answerable: true }, { id: 8, address: text, state: "RINGING", incoming: true, answerable: true }] }],
    "camera/presets/names": Object.fromEntries(Array.from({ length: 10 }, (_, index) => [index + 1, text])),
    "camera/near/connected": { people: [{ index: 1, name: text }, { index: 2, name: `${text} 2` }], content: [{ index: 3, name: text }] },
    "camera/near/selected_people": { cameraIndex: 1, trackable: true, trackingstate: "on" },
    "calendar/status": text,
    "calendar/meetings": [{ id: "m", subject: text, organizer: text, startTime: Math.floor(Date.now() / 1000) - 60, duration: 3600, canDial: true, canceled: false }],
    "calendar/current": { id: "m", subject: text, organizer: text, startTime: Math.floor(Date.now() / 1000) - 60, duration: 3600 },
    "system/status/ipnetwork": [text],
    "system/sip_servers": [{ address: text, state: text }],
    "system/mode": { app: text },
    session: { userId: text },
    collaboration: { sessionState: "ACTIVE" },
    readiness: { ok: false, at: "2026-01-02T03:04:05Z", checks: [{ name: text, ok: false, message: text }] },
  });
  for (const [id, name] of Object.entries(names)) room(id, name, ringing(name, id === "twentyseven" ? CALLER : name));
  states["room/offline/availability"] = "offline";
  states["room/offline/problem"] = { code: "certificate_changed", message: `${LONG} sha256:${"ab".repeat(32)}`, since: "2026-01-02T03:04:05Z" };
  room("connected", "In a call", { "call/state": "connected", calls: [{ id: "1", connections: [{ id: 1, address: CALLER, state: "CONNECTED", incoming: false }] }] });
  for (let number = 1; number <= 100; number += 1) {
    const at = `room/many-${number}`;
    states[`${at}/availability`] = number % 50 ? "online" : "offline";
    states[`${at}/problem`] = number % 50 ? { code: "none" } : { code: "offline", message: "nothing answers", since: new Date().toISOString() };
    states[`${at}/system/info`] = { systemName: `Room ${number}${number % 7 ? "" : LONG}` };
    states[`${at}/call/state`] = number % 9 ? "idle" : "connected";
    states[`${at}/audio/muted`] = number % 3 === 0;
    states[`${at}/audio/volume`] = number % 100;
  }
  // Several gateways, with names as long as they may be, one that leaves, and everything that can be wrong.
  const member = (name, changes) => ({ name, state: "ok", shards: 341, rooms: 12345, version: LONG, since: "2026-01-02T03:04:05Z", weight: 100, advertise: `https://${LONG}.example.com:8080`, configuration: "ab12", ...changes });
  states["gateway/cluster"] = {
    from: "g".repeat(32), state: "ok", shards: 1024, rooms: 50000, unowned: 1, unowned_rooms: 49, differing: ["W".repeat(32)], placement: "ab",
    members: [member("g".repeat(32)), member("W".repeat(32), { state: "leaving", version: "2", configuration: "cd34" }), member("gw-3", { since: null })],
    problem: { code: "no_owner", message: LONG },
  };
  // A page that was too busy to hear the gateway gives its socket up and connects again. Only the new one's
  // answers count.
  let newest = null;
  Object.defineProperty(window, "unanswered", { get: () => newest?.unanswered });
  window.WebSocket = class extends WebSocket {
    unanswered = 0;
    constructor(...address) {
      super(...address);
      newest = this;
    }
    send(text) {
      if (JSON.parse(text).subscribe) this.unanswered += 1;
      super.send(text);
    }
    set onmessage(handle) {
      super.onmessage = (event) => {
        // The answer to a subscription comes after the states.
        if (typeof event.data === "string" && JSON.parse(event.data).subscribed) {
          this.unanswered -= 1;
          for (const [topic, payload] of Object.entries(states)) handle({ data: JSON.stringify({ topic, payload, retain: true }) });
        }
        handle(event);
      };
    }
  };
}
