// What the page says of a status, in words. Pure: no element is touched here.

const THERE = new Set(["up", "degraded"]); // connected, and their agents are heard

export const isThere = (unit) => THERE.has(unit.state);

/** 45 s, 12 min, 3 h 5 min, 2 d 4 h */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${hours / 24} d`;
}

/** 0, 0.3, 12.5, 1,204 */
export function number(value) {
  const digits = Math.abs(value) < 100 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en-GB", { minimumFractionDigits: 0, maximumFractionDigits: digits });
}

export const percent = (share) => `${Math.round(share * 100)} %`;

/** unit 1; units 1 and 2; units 1, 2 and 3 */
export function unitsNamed(ids) {
  if (ids.length === 1) return `unit ${ids[0]}`;
  return `units ${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
}

/** For how long a unit has been in its state; null if the app doesn't say. */
export function stateAge(unit, status) {
  return unit.since && status.time ? Math.max(0, status.time - unit.since) : null;
}

export function stateWords(unit, status) {
  const age = stateAge(unit, status);
  return age === null ? unit.state : `${unit.state} for ${duration(age)}`;
}

/** 12 live · 3.4/s · 33 %; what the app doesn't say is left out. */
export function sessionWords(unit) {
  const rate = unit.sessions.per_second;
  if (!isThere(unit)) return `${number(unit.sessions.live)} live`;
  return [
    `${number(unit.sessions.live)} live`,
    Number.isFinite(rate) ? `${number(rate)}/s` : null,
    Number.isFinite(unit.share) ? percent(unit.share) : null,
  ]
    .filter((each) => each !== null)
    .join(" · ");
}

/** What a unit lacks, or is kept from: a line each. */
export function troubles(unit) {
  const lines = (unit.links_down ?? []).map((name) => `no link on ${name}`);
  if (unit.unheard?.length) lines.push(`HA link: ${unitsNamed(unit.unheard)} not heard`);
  if (unit.unheld?.length) lines.push(`lacks the sessions of ${unitsNamed(unit.unheld)}`);
  if (unit.refusal) lines.push(`not taken in: ${unit.refusal}`);
  return lines;
}

/** The same, and what an operator has ordered. */
export function remarks(unit) {
  const lines = troubles(unit);
  if (unit.drained) lines.push("drained: gets no new sessions");
  if (Number.isFinite(unit.deadline)) lines.push(`what is left moves in ${duration(unit.deadline)}`);
  return lines;
}

/** ok, warning or bad: how a unit is. */
export function tone(unit) {
  if (unit.state === "dead" || unit.state === "down" || unit.refusal) return "bad";
  if (unit.state !== "up") return "warning";
  return remarks(unit).length ? "warning" : "ok";
}

/** The cluster in a sentence, and how bad it is. */
export function verdict(status) {
  const { units, primary } = status;
  if (!primary) return { text: "No unit is primary.", tone: "bad" };
  const parts = [...stateParts(units), primaryWords(status)];
  const lacking = units.filter((unit) => unit.state === "up" && troubles(unit).length);
  if (lacking.length)
    parts.push(`${subject(lacking)} ${lacking.length === 1 ? "lacks" : "lack"} something`);
  const drained = units.filter((unit) => unit.drained);
  if (drained.length) parts.push(`${subject(drained)} ${are(drained)} drained`);
  const beyond = status.overloaded ?? [];
  if (beyond.length) parts.push(overloadWords(beyond));
  const text = parts.join("; ");
  const tones = [...units.map(tone), ...beyond.map(() => "warning")];
  if (!present(status)) tones.push("bad");
  return { text: `${text[0].toUpperCase()}${text.slice(1)}.`, tone: worst(tones) };
}

/** Is the primary there? One that dies without an heir stays primary. */
export const present = (status) => Boolean(status.primary) && status.primary_present !== false;

function primaryWords(status) {
  const { units, primary } = status;
  if (!present(status)) {
    const { state } = units.find((unit) => unit.id === primary);
    return `unit ${primary} is primary, and ${state}`;
  }
  return `unit ${primary} is primary${servesAlone(status) ? " and serves all new sessions" : ""}`;
}

const CAUSES = {
  budget: "beyond the budget of decisions",
  undecided: "not decided in time",
  full: "more than the app remembers",
};

/** Why the primary serves what the app doesn't share out. */
function overloadWords(causes) {
  const why = causes.map((cause) => CAUSES[cause] ?? cause).join(", ");
  return `more sessions begin than are shared out, the primary serves the rest alone: ${why}`;
}

/** Does the app decide nothing at the moment, although there is more than one unit? */
export const servesAlone = (status) => !status.balancing && status.units.length > 1;

const subject = (units) => unitsNamed(units.map((unit) => unit.id));
const are = (units) => (units.length === 1 ? "is" : "are");

function stateParts(units) {
  const by = Map.groupBy(
    units.filter((unit) => unit.state !== "up"),
    (unit) => unit.state,
  );
  if (by.size) return [...by].map(([state, those]) => `${subject(those)} ${are(those)} ${state}`);
  return [units.length === 1 ? "the only unit is up" : `all ${units.length} units are up`];
}

function worst(tones) {
  return ["bad", "warning"].find((each) => tones.includes(each)) ?? "ok";
}

/** 14:03:21, by this machine's clock and zone; 26/11/2026, 14:03:21 if that isn't today. */
export function clock(epoch, now = Date.now() / 1000) {
  const [at, today] = [epoch, now].map((each) => new Date(each * 1000));
  const same = at.toDateString() === today.toDateString();
  return same ? at.toLocaleTimeString("en-GB") : at.toLocaleString("en-GB");
}

/** Which of the eight colours a unit has, here and in the charts. */
export const colour = (id) => ((id - 1) % 8) + 1;
