// What is asked of the app over HTTP. Nothing is drawn here.

const PATIENCE = 2500; // ms until an answer is given up

/** The app didn't answer, or not with what it should. */
export class NoAnswer extends Error {}

/** The app has answered that it won't: its own words, and HTTP's code. */
export class Refusal extends Error {
  constructor(code, words) {
    super(words);
    this.code = code;
  }
}

/** What the app answers to a GET. NoAnswer; Refusal, with code 404 where it has no such thing. */
export async function read(path, patience = PATIENCE) {
  return ask(path, {}, patience);
}

/** An order. NoAnswer, Refusal: then nothing has been done. */
export async function order(path, body, token) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== null) headers["Content-Type"] = "application/json";
  const how = { method: "POST", headers, body: body === null ? null : JSON.stringify(body) };
  return ask(path, how, PATIENCE);
}

async function ask(path, how, patience) {
  let answer;
  let found;
  try {
    answer = await fetch(path, {
      ...how,
      cache: "no-store",
      signal: AbortSignal.timeout(patience),
    });
    found = await answer.text();
  } catch (error) {
    throw new NoAnswer(error.message);
  }
  if (!answer.ok) throw new Refusal(answer.status, reason(answer, found));
  try {
    return JSON.parse(found);
  } catch {
    throw new NoAnswer("what answered is not the app: no JSON came back");
  }
}

function reason(answer, text) {
  try {
    return String(JSON.parse(text).error);
  } catch {
    return `the app answered ${answer.status} ${answer.statusText}`;
  }
}
