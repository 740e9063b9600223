// The events of the cluster, newest first, in the log's own words.

import { element } from "./elements.js";
import { clock } from "./words.js";

const SHOWN = 200;

export class Events {
  constructor(section) {
    this.list = section.querySelector("ol");
    this.absent = section.querySelector(".absent");
    this.filter = section.querySelector(".filter");
    this.filter.querySelector("input").addEventListener("change", (event) => {
      this.list.classList.toggle("only-warnings", event.target.checked);
    });
  }

  /** Those since the round before, oldest first; null if the app tells none. All, if `anew`. */
  show(events, anew) {
    this.absent.hidden = events !== null;
    this.filter.hidden = this.list.hidden = events === null;
    if (events === null) return;
    if (anew) this.list.replaceChildren();
    for (const event of events.slice(-SHOWN)) this.list.prepend(item(event, !anew));
    while (this.list.children.length > SHOWN) this.list.lastElementChild.remove();
  }
}

function item({ time, event, warning, fields }, fresh) {
  const about = Object.entries(fields).map(([key, value]) => `${key}=${value}`);
  return element(
    "li",
    { class: [warning ? "warning" : "note", fresh ? "fresh" : ""].join(" ").trim() },
    element("time", { datetime: new Date(time * 1000).toISOString() }, clock(time)),
    element("b", {}, warning ? element("span", { class: "unseen" }, "warning: ") : null, event),
    element("span", { class: "muted" }, about.join(" ")),
  );
}
