// Measures the page as it is now; gives what is wrong with it as a list of texts.
(() => {
  const found = [];
  const width = document.documentElement.clientWidth;
  const dialog = document.querySelector("dialog:modal");
  const scope = dialog ?? document.body;
  const say = (what, element) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    const name = (element.ariaLabel ?? element.textContent ?? "").trim().slice(0, 30);
    const path = element.id ? `#${element.id}` : `${element.parentElement?.className || element.parentElement?.tagName} > ${element.tagName}.${element.getAttribute("class") ?? ""}`;
    found.push(`${what}: ${path} "${name}" ${Math.round(left)}…${Math.round(right)} × ${Math.round(top)}…${Math.round(bottom)} of ${width}`);
  };
  const shown = (element) => element.checkVisibility({ checkVisibilityCSS: true, contentVisibilityAuto: false }) && element.getClientRects().length > 0;
  /// The ancestors that cut off what is wider than they are.
  const cutting = (element) => {
    const all = [];
    for (let each = element.parentElement; each; each = each.parentElement) if (getComputedStyle(each).overflowX !== "visible") all.push(each);
    return all;
  };
  for (const element of [document.documentElement, document.body, document.querySelector("main"), ...document.querySelectorAll("dialog:modal, #toasts")]) {
    if (element.scrollWidth > element.clientWidth + 1) found.push(`scrolls sideways: ${element.tagName} ${element.scrollWidth} of ${element.clientWidth}`);
  }
  for (const element of scope.querySelectorAll("*")) {
    if (!shown(element) || element.closest(".skip, option, datalist, symbol")) continue;
    const { left, right } = element.getBoundingClientRect();
    if (left >= -0.5 && right <= width + 0.5) continue;
    // A text that ends in an ellipsis may be as long as it likes.
    if (element.parentElement.closest(".clip")) continue;
    say("wider than the screen", element);
  }
  const controls = "button, a[href]:not(.skip), input, select, textarea, summary, [role=option], label:has(input)";
  for (const control of scope.querySelectorAll(controls)) {
    if (!shown(control)) continue;
    control.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    const { left, right, top, bottom } = control.getBoundingClientRect();
    if (right - left < 8 || bottom - top < 8) {
      say("too small", control);
      continue;
    }
    for (const box of cutting(control)) {
      const around = box.getBoundingClientRect();
      if (left < around.left - 1 || right > around.right + 1) say(`cut off by ${box.tagName}.${box.className}`, control);
    }
    if (control.tagName === "BUTTON" && !control.closest(".value, .presets") && (control.scrollWidth > control.clientWidth + 1 || control.scrollHeight > control.clientHeight + 3)) say("its text is cut off", control);
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    if (hit === null || !(control.contains(hit) || hit.closest("label")?.contains(control))) say(`covered by ${hit?.tagName}.${hit?.className}`, control);
  }
  document.querySelector("main").scrollTop = 0;
  return found;
})()
