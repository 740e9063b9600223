// A unit in the picture: its name, role, state and figures, and what it lacks.

import { shape } from "./elements.js";
import {
  colour,
  duration,
  isThere,
  percent,
  remarks,
  sessionWords,
  stateAge,
  tone,
} from "./words.js";

const PLAIN = 84; // height of a unit without remarks
const LINE = 17; // of each remark
const TIGHT = 225; // width of a unit without room for its weight

export const heightOf = (unit) => PLAIN + remarks(unit).length * LINE;

export function unitBox(box, status) {
  const { unit, x, y, width, height } = box;
  const age = stateAge(unit, status);
  const primary = unit.id === status.primary;
  const right = x + width - 14;
  const classes = `unit ${tone(unit)}${primary ? " primary" : ""}${isThere(unit) ? "" : " gone"}`;
  return shape(
    "g",
    { class: classes },
    shape("rect", { x, y, width, height, rx: 10, class: "box" }),
    shape("path", {
      d: `M${x + 5} ${y + 12}V${y + height - 12}`,
      class: `stripe of-${colour(unit.id)}`,
    }),
    shape("text", { x: x + 18, y: y + 24, class: "name" }, `Unit ${unit.id}`),
    ...roleOf(unit, primary, right, y + 24),
    shape("circle", { cx: x + 23, cy: y + 42, r: 4.5, class: "dot" }),
    shape(
      "text",
      { x: x + 34, y: y + 46, class: "state" },
      age === null ? unit.state : `${unit.state} · ${duration(age)}`,
    ),
    width >= TIGHT
      ? shape(
          "text",
          { x: right, y: y + 46, "text-anchor": "end", class: "small" },
          `weight ${unit.weight}`,
        )
      : null,
    shape("text", { x: x + 18, y: y + 65, class: "figures" }, sessionWords(unit)),
    ...shareBar(unit, x + 18, y + 72, right - x - 18),
    ...remarks(unit).map((line, row) =>
      shape(
        "text",
        { x: x + 18, y: y + PLAIN + 8 + row * LINE, class: "trouble" },
        `⚠\uFE0E ${line}`,
      ),
    ),
  );
}

function roleOf(unit, primary, right, y) {
  const role = primary ? "primary" : unit.role;
  if (role === "none") return [];
  const wide = role.length * 6.6 + 18;
  const kind = primary ? "is-primary" : "";
  return [
    shape("rect", {
      x: right - wide,
      y: y - 14,
      width: wide,
      height: 20,
      rx: 10,
      class: `role ${kind}`,
    }),
    shape(
      "text",
      { x: right - wide / 2, y, "text-anchor": "middle", class: `role-name ${kind}` },
      role,
    ),
  ];
}

function shareBar(unit, x, y, width) {
  const share = Number.isFinite(unit.share) && isThere(unit) ? unit.share : 0;
  return [
    shape(
      "rect",
      { x, y, width, height: 4, rx: 2, class: "track" },
      shape("title", {}, `${percent(share)} of the last minute's new sessions`),
    ),
    share > 0
      ? shape("rect", {
          x,
          y,
          width: Math.max(4, width * share),
          height: 4,
          rx: 2,
          class: `fill of-${colour(unit.id)}`,
        })
      : null,
  ].filter(Boolean);
}
