// Runs in the page before its own script, and gives it sixty rooms of a campus beside the gateway's own.
(() => {
  const ago = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();
  const problems = { 7: ["offline", 12], 23: ["unauthorized", 190], 41: ["certificate_changed", 55] };
  const states = {};
  for (let number = 1; number <= 60; number += 1) {
    const at = `room/${100 + number}`;
    const [code, minutes] = problems[number] ?? [];
    states[`${at}/availability`] = code ? "offline" : "online";
    states[`${at}/problem`] = code ? { code, message: "…", since: ago(minutes) } : { code: "none" };
    states[`${at}/system/info`] = { systemName: `Seminar ${Math.ceil(number / 20)}.${String(number % 20 || 20).padStart(2, "0")}`, model: "StudioX50" };
    states[`${at}/call/state`] = number === 12 ? "ringing" : number % 7 === 0 ? "connected" : "idle";
    states[`${at}/audio/muted`] = number % 3 === 0;
    states[`${at}/audio/volume`] = 40 + (number % 6) * 5;
    if (number === 30) states[`${at}/readiness`] = { ok: false, at: ago(30), checks: [] };
  }
  window.WebSocket = class extends WebSocket {
    set onmessage(handle) {
      super.onmessage = (event) => {
        if (typeof event.data === "string" && JSON.parse(event.data).subscribed) {
          for (const [topic, payload] of Object.entries(states)) handle({ data: JSON.stringify({ topic, payload, retain: true }) });
        }
        handle(event);
      };
    }
  };
})();
