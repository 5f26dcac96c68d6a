// Pure functions about values, texts, times and topics.

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const short = (value) => (typeof value === "string" ? value : JSON.stringify(value));
/// A device's SHOUTING_WORDS as ordinary words.
const words = (text) => String(text ?? "").replaceAll("_", " ").toLowerCase();
/// A sentence's first letter as a capital; a topic at its beginning stays as it is written.
const capital = (text) => (/^\S*\//.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1));
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
/// The objects of a list. Anything that is no list counts as an empty one: devices send both.
const list = (value) => (Array.isArray(value) ? value : []).filter(isObject);
const byName = new Intl.Collator(undefined, { numeric: true });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockWithSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

/// A time of day, with its day unless that is today.
const moment = (date) => (date.toDateString() === new Date().toDateString() ? "" : `${weekday.format(date)}, `) + clock.format(date);
/// A date of a device or of the gateway; null if it is none.
function dateOf(text) {
  const date = new Date(text ?? NaN);
  return Number.isNaN(+date) ? null : date;
}

function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return `${minutes} min`;
}

/// How long something takes so far: seconds, from a minute on with minutes.
const waited = (seconds) => (seconds < 59.5 ? `${Math.round(seconds)} s` : `${Math.floor(Math.round(seconds) / 60)}:${String(Math.round(seconds) % 60).padStart(2, "0")} min`);

/// A value as one level of a topic. In a topic these four characters and NUL mean something else,
/// so they are percent-encoded.
const level = (value) =>
  String(value).replace(/[%/+#\0]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));

/// Whether an MQTT filter matches a topic.
function matches(filter, topic) {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  for (const [index, part] of wanted.entries()) {
    if (part === "#") return true;
    if (index >= levels.length || (part !== "+" && part !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}
