// The search box: what the app explains about a session, laid out as it comes. It knows
// one field of the answer by name, the summary: what the app adds is shown, too.

import { NoAnswer, Refusal, read } from "./app.js";
import { element } from "./elements.js";
import { tupleOf } from "./tuples.js";
import { clock } from "./words.js";

const ABSENT = 404;
const PATIENCE = 15000; // ms: the app asks units and bridges, and waits for them

export class Explain {
  constructor(section) {
    this.answer = section.querySelector(".answer");
    this.field = section.querySelector("input");
    section.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
  }

  async #ask() {
    const tuple = tupleOf(this.field.value);
    if (!tuple) {
      this.#say(
        "Two ends are needed, the client's first, as in 10.1.0.10:46768 > 203.0.113.10:80.",
      );
      return;
    }
    this.answer.setAttribute("aria-busy", "true");
    try {
      const asked = `v1/explain?${new URLSearchParams(tuple)}`;
      this.answer.replaceChildren(...found(await read(asked, PATIENCE)));
    } catch (error) {
      if (!(error instanceof Refusal || error instanceof NoAnswer)) throw error;
      this.#say(why(error));
    } finally {
      this.answer.removeAttribute("aria-busy");
    }
  }

  #say(text) {
    this.answer.replaceChildren(element("p", { class: "notice" }, text));
  }
}

function why(error) {
  if (error instanceof NoAnswer) return "No answer from the app.";
  if (error.code === ABSENT)
    return "This app can't explain sessions: it is of a version before that.";
  return error.message;
}

/** What it comes to in sentences, if the app says that; below it, all that was found. */
function found(answer) {
  const { summary, ...rest } = answer;
  if (!Array.isArray(summary)) return laidOut(answer);
  const all = element(
    "details",
    {},
    element("summary", {}, "All that was found"),
    ...laidOut(rest),
  );
  return [...summary.map((sentence) => element("p", {}, String(sentence))), all];
}

/** A JSON value as elements: objects as terms and what they are, lists of them as tables. */
export function laidOut(value) {
  if (Array.isArray(value)) return [value.length ? listOf(value) : plain("none")];
  if (isObject(value)) return [termsOf(value)];
  return [plain(words(value))];
}

function termsOf(value) {
  const terms = Object.entries(value).map(([key, each]) =>
    element(
      "div",
      {},
      element("dt", {}, key.replaceAll("_", " ")),
      element("dd", {}, ...laidOut(each)),
    ),
  );
  return element("dl", {}, ...terms);
}

function listOf(values) {
  if (!values.some(isNested)) return plain(values.map(words).join(", "));
  const rows = values.map((each) => (isObject(each) ? Object.fromEntries(cells(each)) : null));
  if (rows.every((row) => row && Object.values(row).every(isCell))) return tableOf(rows);
  return element("ul", {}, ...values.map((each) => element("li", {}, ...laidOut(each))));
}

function tableOf(rows) {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const heads = keys.map((key) => element("th", { scope: "col" }, key.replaceAll("_", " ")));
  const lines = rows.map((row) =>
    element("tr", {}, ...keys.map((key) => element("td", {}, ...laidOut(row[key] ?? null)))),
  );
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...lines),
  );
  return element("div", { class: "scrolls", tabindex: 0 }, table);
}

/** What an object has, and what objects in it have: {id: 1, entry: {mark: 0}} has an entry mark. */
function cells(row) {
  return Object.entries(row).flatMap(([key, value]) =>
    isObject(value)
      ? cells(value).map(([inner, each]) => [`${key} ${inner}`, each])
      : [[key, value]],
  );
}

const isNested = (value) => value !== null && typeof value === "object";
const isObject = (value) => isNested(value) && !Array.isArray(value);
const isCell = (value) =>
  Array.isArray(value) ? !value.some(isNested) : !String(value).includes("\n");

/** What a program has said in several lines stays so. */
const plain = (text) => element(text.includes("\n") ? "pre" : "span", {}, text.trim());

function words(value) {
  const isTime = typeof value === "number" && value > 1e9 && !Number.isInteger(value);
  if (isTime) return clock(value);
  return { null: "–", true: "yes", false: "no" }[String(value)] ?? String(value);
}
