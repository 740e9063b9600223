// The cluster as a picture: the units between their switches, the HA link, who has the virtual
// MACs. Drawn anew, in pixels, for each status and each width.

import { shape } from "./elements.js";
import { heightOf, unitBox } from "./unit_box.js";
import { isThere, remarks, sessionWords, unitsNamed } from "./words.js";

const HEAD = 46; // height of what stands above the switches
const GAP = 16;
const NARROW = 560;

export function picture(status, width) {
  const places = layout(status, width);
  const drawn = [
    ...haLink(status, places),
    ...places.boxes.flatMap((box) => cables(box, status, places)),
    ...places.switches.map(switchOf), // over the cables that pass by
    ...places.boxes.flatMap((box) => plugs(box, status, places)),
    ...places.boxes.map((box) => unitBox(box, status)),
  ];
  return shape(
    "svg",
    {
      role: "img",
      "aria-label": inWords(status),
      viewBox: `0 0 ${width} ${places.height}`,
      width,
      height: places.height,
    },
    ...drawn,
  );
}

/** The same for those who don't see it. */
export function inWords(status) {
  const units = status.units.map((unit) => {
    const lacks = remarks(unit);
    return (
      `unit ${unit.id}: ${unit.role}, ${unit.state}, ${sessionWords(unit)}` +
      (lacks.length ? `, ${lacks.join(", ")}` : "")
    );
  });
  const names = (status.interfaces ?? []).map((each) => each.name);
  const ways = names.length ? ` between the switches of ${names.join(" and ")}` : "";
  return `${unitsNamed(status.units.map((unit) => unit.id))}${ways}. ${units.join("; ")}.`;
}

// -- where everything is

function layout(status, width) {
  const interfaces = status.interfaces ?? [];
  const narrow = width < NARROW;
  const sides = {
    left: interfaces.filter((_, index) => index % 2 === 0),
    right: interfaces.filter((_, index) => index % 2),
  };
  // Between a switch and the units there is room for a virtual MAC, if there is one switch a side.
  const roomy = !narrow && interfaces.length <= 2;
  const apart = roomy ? 156 : narrow ? 26 : 56;
  const room = (side) => Math.max(1, side.length) * apart + (roomy ? 0 : 8);
  const left = room(sides.left) + 16; // the HA link runs here
  const right = width - room(sides.right);
  let y = HEAD;
  const boxes = status.units.map((unit) => {
    const box = { unit, x: left, y, width: right - left, height: heightOf(unit) };
    y += box.height + GAP;
    return box;
  });
  const bottom = y - GAP + 12;
  const placed = { top: HEAD - 6, bottom, short: narrow && interfaces.length > 2 };
  const switches = interfaces.map((each, index) => {
    const rank = Math.floor(index / 2); // from the outside in
    const side = index % 2 ? "right" : "left";
    const x = side === "left" ? 6 + rank * apart : width - 6 - rank * apart;
    return { ...each, ...placed, number: index + 1, rank, side, x };
  });
  return { switches, boxes, roomy, ha: left - 16, height: bottom + 4 };
}

// -- switches and cables

function switchOf({ name, number, x, side, top, bottom, short }) {
  const anchor = side === "left" ? "start" : "end";
  const at = side === "left" ? x - 4 : x + 4;
  return shape(
    "g",
    {},
    shape(
      "text",
      { x: at, y: 14, "text-anchor": anchor, class: "name" },
      short ? clipped(name, 3) : name,
    ),
    shape(
      "text",
      { x: at, y: 31, "text-anchor": anchor, class: "small" },
      short ? String(number) : `switch ${number}`,
    ),
    shape("rect", { x: x - 4, y: top, width: 8, height: bottom - top, rx: 4, class: "switch" }),
  );
}

/** A unit's cables, and the virtual MACs on those of the primary. */
function cables(box, status, { switches, roomy, ha }) {
  return switches.flatMap((each) => {
    const level = levelOf(box, each);
    const edge = each.side === "left" ? box.x : box.x + box.width;
    const state = cableState(box.unit, each, status);
    const middle = (each.x + (each.side === "left" ? ha : edge)) / 2;
    const drawn = [
      shape("path", {
        d: `M${each.x} ${level}H${edge}`,
        class: `cable ${state}`,
        "stroke-width": thickness(box, state),
      }),
    ];
    if (state === "cut") drawn.push(cross(middle, level));
    if (state === "owner" && roomy) drawn.push(...virtualMac(each, middle, level));
    return drawn;
  });
}

function plugs(box, status, { switches }) {
  return switches.map((each) => {
    const state = cableState(box.unit, each, status);
    return shape("circle", { cx: each.x, cy: levelOf(box, each), r: 4, class: `plug ${state}` });
  });
}

const levelOf = (box, { rank }) => box.y + 22 + rank * 10;

function cableState(unit, { name }, status) {
  if ((unit.links_down ?? []).includes(name)) return "cut";
  if (!isThere(unit)) return "away";
  return unit.id === status.primary ? "owner" : "whole";
}

/** An auxiliary's cable carries what it serves. */
function thickness({ unit }, state) {
  return state === "owner" ? 4 : state === "whole" ? 1.5 + 2.5 * (unit.share ?? 0) : 1.5;
}

function virtualMac({ virtual_mac: mac }, x, y) {
  return [
    shape("text", { x, y: y - 8, "text-anchor": "middle", class: "small" }, "virtual MAC"),
    shape("text", { x, y: y + 17, "text-anchor": "middle", class: "mac" }, mac),
  ];
}

function cross(x, y) {
  return shape("path", { d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10`, class: "cross" });
}

// -- the HA link

function haLink(status, { boxes, ha, roomy }) {
  if (boxes.length < 2) return [];
  const level = (box) => box.y + box.height - 14;
  const [first, last] = [boxes[0], boxes.at(-1)];
  const title = shape(
    "text",
    { x: ha + 12, y: level(last) + 19, "text-anchor": "end", class: "small" },
    roomy ? "HA link" : "HA",
  );
  return [
    title,
    shape("path", { d: `M${ha} ${first.y + 2}V${level(last)}`, class: "ha whole" }),
    ...boxes.flatMap((box) => {
      const state = haState(box.unit, status);
      const middle = (ha + box.x) / 2;
      return [
        shape("path", { d: `M${ha} ${level(box)}H${box.x}`, class: `ha ${state}` }),
        shape("circle", { cx: ha, cy: level(box), r: 3, class: `ha-plug ${state}` }),
        state === "cut" ? cross(middle, level(box)) : null,
      ];
    }),
  ].filter(Boolean);
}

/** A unit that hears none of the others has lost the link; one that misses some is doubtful. */
function haState(unit, status) {
  if (!isThere(unit)) return "away";
  const unheard = unit.unheard?.length ?? 0;
  if (!unheard) return "whole";
  const others = status.units.filter((each) => each !== unit && isThere(each));
  return unheard >= others.length ? "cut" : "doubtful";
}

/** A text that is cut off where it is longer. */
const clipped = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
