// Makes and changes elements. Values from a device are written as text, never as HTML:
// el() has no way to take markup.

const $ = (id) => document.getElementById(id);

/// Makes an element. An attribute that is a function becomes a listener; false and null leave the
/// attribute out.
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "class") element.className = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/// An icon: one of the symbols that page.html defines.
function icon(name) {
  const svg = document.createElementNS(SVG_NAMESPACE, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG_NAMESPACE, "use"));
  setIcon(svg, name);
  return svg;
}
const setIcon = (svg, name) => svg.firstChild.setAttribute("href", `#i-${name}`);

/// Writes text only where it changed: a screen reader reads a live region at every write.
function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/// Writes text with its colour: "good", "warn", "bad", "accent", "wait" or none.
function setTone(element, text, tone) {
  setText(element, text);
  element.dataset.tone = tone ?? "";
}

/// A titled card of a page.
function panel(title, symbol, ...content) {
  return el("section", { class: "card panel", "aria-label": title }, el("header", {}, el("h2", {}, icon(symbol), title)), ...content);
}
