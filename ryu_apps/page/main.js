// The page: what the app tells once a second goes to the parts that draw it.

import { element, onWidth, write } from "./elements.js";
import { Events } from "./events.js";
import { Explain } from "./explain.js";
import { History } from "./history.js";
import { picture } from "./picture.js";
import { Units } from "./units.js";
import { Watch } from "./watch.js";
import { duration, present, servesAlone, verdict } from "./words.js";

const by = (id) => document.getElementById(id);

const parts = {
  history: new History(by("history")),
  units: new Units(by("units")),
  events: new Events(by("events")),
  explain: new Explain(by("explain")),
};
let last = null; // the last status
let width = 0; // of the picture

function draw({ status, events, anew, history }) {
  last = status;
  head(status);
  drawPicture();
  interfaces(status);
  parts.units.show(status);
  parts.events.show(events, anew);
  parts.history.show(history, servesAlone(status));
}

function head(status) {
  const { text, tone } = verdict(status);
  write(by("cluster"), status.cluster);
  write(by("verdict"), text);
  by("verdict").className = tone;
  write(
    by("about"),
    `${status.method} · sessions in ${status.session_table} · term ${status.term}`,
  );
  const mark = { ok: "", warning: "! ", bad: "✕ " }[tone];
  if (document.title !== `${mark}${status.cluster} – Synod`)
    document.title = `${mark}${status.cluster} – Synod`;
}

function drawPicture() {
  if (last && width) by("picture").querySelector(".drawing").replaceChildren(picture(last, width));
}

function interfaces(status) {
  const known = status.interfaces ?? [];
  const table = by("interfaces");
  table.hidden = known.length === 0;
  const at = present(status) ? `unit ${status.primary}` : "–";
  const rows = known.map((each) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, each.name),
      element("td", {}, each.addresses.join(", ")),
      element("td", { class: "mac" }, each.virtual_mac),
      element("td", {}, at),
    ),
  );
  table.tBodies[0].replaceChildren(...rows);
}

/** The app is away for so many seconds; 0: it is there. */
function tell(seconds) {
  const away = seconds > 0;
  document.body.classList.toggle("away", away);
  for (const each of document.querySelectorAll("main .buttons, main form")) each.inert = away;
  by("lost").hidden = !away;
  write(by("lost").querySelector("strong"), away ? "No answer from the app" : "");
  write(by("lost").querySelector("span"), away ? `since ${duration(seconds)}` : "");
}

onWidth(by("picture").querySelector(".drawing"), (found) => {
  width = found;
  drawPicture();
});
new Watch(draw, tell).start();
