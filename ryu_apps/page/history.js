// The section of the charts: sessions a second and share of each unit, with one legend and one
// moment for both.

import { Chart, legend } from "./chart.js";
import { write } from "./elements.js";
import { ceiling, seriesOf, totalsOf } from "./series.js";
import { duration, number, percent } from "./words.js";

export class History {
  #series = null;
  #moment = null;

  constructor(section) {
    this.section = section;
    const pointed = (place) => this.#point(place);
    const said = (place) => this.#said(place);
    this.charts = {
      rate: new Chart(section.querySelector("#rate"), { scale: rateScale, pointed, said }),
      share: new Chart(section.querySelector("#share"), { scale: shareScale, pointed, said }),
    };
  }

  /** `history` as the app tells it; null if it keeps none. `alone`: the app decides nothing now. */
  show(history, alone) {
    this.section.querySelector(".alone").hidden = !alone;
    this.section.querySelector(".absent").hidden = history !== null;
    this.section.querySelector(".charts").hidden = history === null;
    if (history === null) return;
    this.#series = seriesOf(history);
    this.#draw();
  }

  #point(place) {
    this.#moment = place;
    if (this.#series) this.#draw();
  }

  #draw() {
    const { units, rate, share } = this.#series;
    this.charts.rate.show(units, rate, this.#moment);
    this.charts.share.show(units, share, this.#moment);
    const last = (rate[0]?.length ?? 0) - 1;
    const at = this.#moment ?? last;
    write(
      this.section.querySelector("#moment"),
      `${this.#when(at)}: ${number(totalsOf(rate)[at] ?? 0)} a second`,
    );
    const items = legend(units, (row) => this.#words(row, at));
    this.section.querySelector(".legend").replaceChildren(...items);
  }

  #when(place) {
    const back = this.#series.rate[0].length - 1 - place;
    return back ? `${duration(back)} ago` : "now";
  }

  #words(row, place) {
    const [rate, share] = [this.#series.rate[row][place], this.#series.share[row][place]];
    return share === null ? `${number(rate)}/s` : `${number(rate)}/s · ${percent(share)}`;
  }

  #said(place) {
    const units = this.#series.units.map((unit, row) => `unit ${unit} ${this.#words(row, place)}`);
    return `${this.#when(place)}: ${units.join(", ")}`;
  }
}

function rateScale(rows) {
  const most = ceiling(Math.max(0, ...totalsOf(rows)));
  return { most, marks: [0, most / 2, most].map((value) => [value, number(value)]) };
}

const shareScale = () => ({ most: 1, marks: [0, 0.5, 1].map((value) => [value, percent(value)]) });
