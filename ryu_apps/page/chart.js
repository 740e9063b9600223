// A chart of values on top of each other, one colour a unit, over the last minutes. A moment of it
// can be pointed at, or gone to by the arrow keys.

import { element, onWidth, shape } from "./elements.js";
import { stacked } from "./series.js";
import { colour } from "./words.js";

const HEIGHT = 132;
const PLOT = { top: 8, bottom: 108, left: 46, right: 8 };
const LABEL = 64; // width of a label of the time axis, and some
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 };

export class Chart {
  #rows = [];
  #width = 0;
  #moment = null; // place in the rows, or null: now

  /**
   * `scale(rows)`: {most, marks: [[value, text]]} of the vertical axis. `pointed(place)` is told
   * which moment was pointed at, null when none is any more. `said(place)`: that moment in words.
   */
  constructor(target, { scale, pointed, said }) {
    this.target = target;
    this.scale = scale;
    this.pointed = pointed;
    this.said = said;
    this.#makeSlider();
    onWidth(target, (width) => {
      this.#width = width;
      this.#draw();
    });
  }

  show(units, rows, moment) {
    this.units = units;
    this.#rows = rows;
    this.#moment = moment;
    this.#draw();
  }

  get #count() {
    return this.#rows[0]?.length ?? 0;
  }

  #makeSlider() {
    for (const [key, value] of Object.entries({
      role: "slider",
      tabindex: 0,
      "aria-orientation": "horizontal",
    })) {
      this.target.setAttribute(key, value);
    }
    this.target.addEventListener("pointermove", (event) => this.#pointAt(event));
    this.target.addEventListener("pointerdown", (event) => this.#pointAt(event));
    this.target.addEventListener("pointerleave", () => this.pointed(null));
    this.target.addEventListener("blur", () => this.pointed(null));
    this.target.addEventListener("keydown", (event) => this.#step(event));
  }

  #pointAt(event) {
    const inside = event.clientX - this.target.getBoundingClientRect().left - PLOT.left;
    const part = inside / (this.#width - PLOT.left - PLOT.right);
    this.pointed(part >= 0 && part <= 1 ? Math.round(part * (this.#count - 1)) : null);
  }

  #step(event) {
    const last = this.#count - 1;
    const ends = { Home: 0, End: last };
    const at = this.#moment ?? last;
    const to = ends[event.key] ?? (event.key in STEPS ? at + STEPS[event.key] : null);
    if (to === null || last < 0) return;
    event.preventDefault();
    this.pointed(Math.max(0, Math.min(last, to)));
  }

  #draw() {
    if (!this.#width || !this.#count) return;
    const { most, marks } = this.scale(this.#rows);
    const x = (place) =>
      PLOT.left + (place / (this.#count - 1)) * (this.#width - PLOT.left - PLOT.right);
    const y = (value) => PLOT.bottom - (value / most) * (PLOT.bottom - PLOT.top);
    this.target.replaceChildren(
      shape(
        "svg",
        {
          "aria-hidden": "true",
          viewBox: `0 0 ${this.#width} ${HEIGHT}`,
          width: this.#width,
          height: HEIGHT,
        },
        ...marks.flatMap(([value, text]) => this.#mark(y(value), text)),
        ...stacked(this.#rows).map((bands, row) =>
          shape("path", { d: area(bands, x, y), class: `area of-${colour(this.units[row])}` }),
        ),
        ...this.#minutes(x),
        this.#moment === null ? null : cursor(x(this.#moment)),
      ),
    );
    this.#describe();
  }

  #mark(y, text) {
    return [
      shape("path", { d: `M${PLOT.left} ${y}H${this.#width - PLOT.right}`, class: "grid" }),
      shape("text", { x: PLOT.left - 6, y: y + 4, "text-anchor": "end", class: "small" }, text),
    ];
  }

  #minutes(x) {
    const last = this.#count - 1;
    const step = x(60) - x(0) < LABEL ? 120 : 60;
    const marks = [];
    for (let back = 0; back <= last + 1; back += step) {
      const at = x(Math.max(0, last - back));
      const anchor = back === 0 ? "end" : back > last - 20 ? "start" : "middle";
      marks.push(
        shape("path", { d: `M${at} ${PLOT.bottom}v4`, class: "grid" }),
        shape(
          "text",
          { x: at, y: HEIGHT - 7, "text-anchor": anchor, class: "small" },
          back ? `−${back / 60} min` : "now",
        ),
      );
    }
    return marks;
  }

  /** For who hears it; not each second anew while it has the focus. */
  #describe() {
    const last = this.#count - 1;
    const at = this.#moment ?? last;
    const now = String(at - last);
    const heard = this.target.getAttribute("aria-valuenow");
    if (document.activeElement === this.target && heard === now) return;
    const values = { valuemin: -last, valuemax: 0, valuenow: now, valuetext: this.said(at) };
    for (const [key, value] of Object.entries(values)) {
      this.target.setAttribute(`aria-${key}`, value);
    }
  }
}

/** The outline of a band, in as many pieces as it has. */
function area(bands, x, y) {
  const pieces = [];
  let run = [];
  bands.forEach((band, place) => {
    if (band) run.push([place, ...band]);
    if (run.length && (!band || place === bands.length - 1)) {
      const upper = run.map(([at, , top]) => `${x(at).toFixed(1)} ${y(top).toFixed(1)}`);
      const lower = run
        .map(([at, bottom]) => `${x(at).toFixed(1)} ${y(bottom).toFixed(1)}`)
        .reverse();
      pieces.push(`M${[...upper, ...lower].join("L")}Z`);
      run = [];
    }
  });
  return pieces.join("");
}

const cursor = (x) => shape("path", { d: `M${x} ${PLOT.top}V${PLOT.bottom}`, class: "cursor" });

/** What a colour is, and what it is worth now. */
export function legend(units, words) {
  return units.map((unit, row) =>
    element(
      "li",
      {},
      element("span", { class: `swatch of-${colour(unit)}`, "aria-hidden": "true" }),
      `unit ${unit} `,
      element("b", {}, words(row)),
    ),
  );
}
