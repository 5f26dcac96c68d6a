// The panel that takes a picture from a camera or the content.

function picturePanel(scope, room) {
  const sources = { near: "Room", far: "Far end", content: "Content" };
  let source = "near";
  let url = null;
  let isAsked = false;
  const placeholder = el("span", {}, icon("picture"), el("span"));
  // Before the gateway has said anything of the room, nothing is known of its pictures either.
  scope.watch(["connection", `room/${room}/availability`], () => {
    if (!isAsked) setText(placeholder.lastChild, availability(room) === "unknown" ? "Unknown" : "No picture taken yet");
  });
  const caption = el("figcaption", { hidden: true });
  const image = el("img", { alt: "", hidden: true });
  const figure = el("figure", { class: "picture" }, placeholder, image, caption);
  const releaseUrl = () => {
    if (url) URL.revokeObjectURL(url);
    url = null;
  };
  const segments = el("div", { class: "segments grow", role: "radiogroup", "aria-label": "Which picture" },
    ...Object.entries(sources).map(([value, text]) => el("label", {}, el("input", { type: "radio", name: "source", value, checked: value === source, change: () => { source = value; refresh(); } }), el("span", {}, text))));
  const button = el("button", { class: "small square", type: "button", "aria-label": "Take a new picture", title: "Take a new picture", click: () => refresh() }, icon("refresh"));
  async function refresh() {
    const requested = source;
    const result = await press(button, room, `camera/snapshot/${requested}/get`);
    if (!result || requested !== source) return;
    releaseUrl();
    isAsked = true;
    const hasPicture = result.ok && result.bytes;
    if (hasPicture) {
      url = URL.createObjectURL(new Blob([result.bytes], { type: result.body.content_type }));
      image.src = url;
      image.alt = `Snapshot: ${sources[requested]}`;
      setText(caption, clockWithSeconds.format(new Date()));
    }
    setText(placeholder.lastChild, result.ok ? "The device has no picture" : "The device sent no picture");
    image.hidden = caption.hidden = !hasPicture;
    placeholder.hidden = hasPicture;
  }
  scope.onEnd(releaseUrl);
  return panel("Picture", "picture", el("div", { class: "row" }, segments, button), figure);
}
