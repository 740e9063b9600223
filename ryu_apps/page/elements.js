// Elements of the page and of its drawings. What is told by the app becomes text nodes and
// attributes only, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes that are null or false are left out, children may be text. */
export function element(name, attributes = {}, ...children) {
  return furnish(document.createElement(name), attributes, children);
}

/** An SVG element, in the same way. */
export function shape(name, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), attributes, children);
}

function furnish(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(key, value === true ? "" : String(value));
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Sets an element's text if it is another: screen readers speak of each change, same or not. */
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Calls back with an element's width now and whenever it changes. */
export function onWidth(target, callback) {
  new ResizeObserver(([entry]) => callback(Math.floor(entry.contentRect.width))).observe(target);
}
