// Asks the app once a second, one round after the other, and knows when it was heard last.
// While nobody looks at the page nothing is asked.

import { NoAnswer, Refusal, read } from "./app.js";

const EVERY = 1000; // ms
const LOST = 3000; // ms without an answer after which the app is lost

/** Something that an app may not have: asked no more once it has said so, until it was lost. */
class Optional {
  #absent = false;

  async read(path) {
    if (this.#absent) return null;
    try {
      return await read(path);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#absent = error.code === 404;
      return null;
    }
  }

  again() {
    this.#absent = false;
  }
}

/** So many ms, or until somebody looks: browsers let the timers of hidden pages wait for minutes. */
function pause(time) {
  return new Promise((resume) => {
    const over = () => {
      document.removeEventListener("visibilitychange", over);
      resume();
    };
    document.addEventListener("visibilitychange", over);
    setTimeout(over, time);
  });
}

export class Watch {
  #events = new Optional();
  #history = new Optional();
  #after = 0; // the number of the last event that is known
  #boot = null; // of the app that numbered it
  #heard = performance.now();
  #looked = performance.now();
  #lost = false;

  /**
   * `draw` is given {status, events, anew, history} each round: `events` since the round before,
   * or null; all there are if `anew`. `tell` is given the seconds since the app was lost, each
   * second, and 0 when it is there again.
   */
  constructor(draw, tell) {
    this.draw = draw;
    this.tell = tell;
  }

  start() {
    document.addEventListener("visibilitychange", () => {
      this.#looked = performance.now();
    });
    setInterval(() => this.#check(), 500);
    this.#forever();
  }

  async #forever() {
    for (;;) {
      const begun = performance.now();
      if (!document.hidden) await this.#round();
      const left = EVERY - (performance.now() - begun);
      await pause(Math.max(left, 50));
    }
  }

  async #round() {
    try {
      const [status, told, history] = await Promise.all([
        read("v1/status"),
        this.#events.read(`v1/events?after=${this.#after}`),
        this.#history.read("v1/history"),
      ]);
      const events = await this.#since(told);
      this.draw({ status, ...events, history });
      this.#hear();
    } catch (error) {
      // A mistake of the page's own is told as one; what it shows is old from then on.
      if (!(error instanceof NoAnswer || error instanceof Refusal)) reportError(error);
    }
  }

  /** An app that was started anew numbers its events anew. */
  async #since(told) {
    let found = told;
    const anew = this.#after === 0 || (found !== null && found.boot !== this.#boot);
    if (anew && this.#after > 0) found = await this.#events.read("v1/events?after=0");
    if (!found) return { events: null, anew };
    this.#after = found.next;
    this.#boot = found.boot;
    return { events: found.events, anew };
  }

  #hear() {
    this.#heard = performance.now();
    if (!this.#lost) return;
    this.#lost = false;
    this.#after = 0;
    this.#events.again();
    this.#history.again();
    this.tell(0);
  }

  #check() {
    const now = performance.now();
    if (document.hidden || now - Math.max(this.#heard, this.#looked) < LOST) return;
    this.#lost = true;
    this.tell(Math.round((now - this.#heard) / 1000));
  }
}
