// The list of units, with what can be done to each. Rows stay as long as their units, so that a
// button keeps the focus while the figures beside it change.

import { NoAnswer, Refusal } from "./app.js";
import { confirmed } from "./dialogs.js";
import { element, write } from "./elements.js";
import { give } from "./steering.js";
import { colour, duration, isThere, number, percent, remarks, stateWords, tone } from "./words.js";

export class Units {
  #rows = new Map();
  #status = null;
  #busy = false;

  constructor(section) {
    this.list = section.querySelector("ul");
    this.said = section.querySelector("#said");
    this.refused = section.querySelector("#refused");
  }

  show(status) {
    this.#status = status;
    const ids = new Set(status.units.map((unit) => unit.id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.item.remove();
      this.#rows.delete(id);
    }
    for (const unit of status.units) this.#update(unit);
  }

  #update(unit) {
    if (!this.#rows.has(unit.id)) this.#add(unit.id);
    const row = this.#rows.get(unit.id);
    row.item.className = `unit ${tone(unit)}`;
    write(
      row.state,
      `${unit.role === "none" ? "no role" : unit.role}, ${stateWords(unit, this.#status)}`,
    );
    write(row.figures, figures(unit));
    write(row.remarks, remarks(unit).join("; "));
    row.remarks.hidden = row.remarks.textContent === "";
    write(row.drain, unit.drained ? "Undrain" : "Drain");
    row.drain.setAttribute("aria-label", `${unit.drained ? "Undrain" : "Drain"} unit ${unit.id}`);
    row.promote.hidden = unit.id === this.#status.primary;
  }

  #add(id) {
    const row = {
      name: element("h3", {}, `Unit ${id}`),
      state: element("p", { class: "state" }),
      figures: element("p", { class: "muted" }),
      remarks: element("p", { class: "trouble" }),
      drain: element("button", { type: "button" }),
      promote: element("button", { type: "button", "aria-label": `Promote unit ${id}` }, "Promote"),
    };
    row.drain.addEventListener("click", () => this.#once(() => this.#drain(id)));
    row.promote.addEventListener("click", () => this.#once(() => this.#promote(id)));
    row.item = element(
      "li",
      {},
      element("span", { class: `swatch of-${colour(id)}`, "aria-hidden": "true" }),
      element(
        "div",
        { class: "what" },
        element("div", { class: "head" }, row.name, row.state),
        row.figures,
        row.remarks,
      ),
      element("div", { class: "buttons" }, row.drain, row.promote),
    );
    this.#rows.set(id, row);
    this.list.append(row.item);
  }

  /** One thing at a time. Buttons aren't disabled meanwhile: they would lose the focus. */
  async #once(pressed) {
    if (this.#busy) return;
    this.#busy = true;
    this.list.setAttribute("aria-busy", "true");
    try {
      await pressed();
    } finally {
      this.#busy = false;
      this.list.removeAttribute("aria-busy");
    }
  }

  async #drain(id) {
    const { drained } = this.#status.units.find((unit) => unit.id === id);
    const done = drained
      ? `Unit ${id} gets new sessions again.`
      : `Unit ${id} gets no new sessions.`;
    await this.#order(`v1/units/${id}/${drained ? "undrain" : "drain"}`, done);
  }

  async #promote(id) {
    const { primary } = this.#status;
    const steps = primary ? `Unit ${primary} steps back first, and goes on as an auxiliary. ` : "";
    const text = `${steps}The app refuses it if sessions would be lost.`;
    if (await confirmed(`Make unit ${id} the primary?`, text, "Promote")) {
      await this.#order(`v1/units/${id}/promote`, `Unit ${id} is about to be primary.`);
    }
  }

  async #order(path, done) {
    write(this.said, "");
    write(this.refused, "");
    try {
      if (await give(path)) write(this.said, done);
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof NoAnswer)) throw error;
      const words =
        error instanceof Refusal ? error.message : "No answer from the app: it may be done or not.";
      write(this.refused, words);
    }
  }
}

function figures(unit) {
  const { live, served, per_second: rate } = unit.sessions;
  return [
    `weight ${unit.weight}`,
    `${number(live)} live`,
    `${number(served)} served`,
    Number.isFinite(rate) && isThere(unit) ? `${number(rate)}/s` : null,
    Number.isFinite(unit.share) && isThere(unit) ? percent(unit.share) : null,
    Number.isFinite(unit.heard) && !isThere(unit) ? `heard ${duration(unit.heard)} ago` : null,
  ]
    .filter((each) => each !== null)
    .join(" · ");
}
