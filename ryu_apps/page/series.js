// What the charts draw, made of the app's history. Pure.

const RATE = 5; // seconds over which sessions a second are averaged
const SHARE = 15; // seconds over which shares are

/**
 * {units: [id], rate: [[…]], share: [[…]]}: a row for each unit, a value for each second, oldest
 * first; a share is null where there were no sessions.
 */
export function seriesOf(history) {
  const units = Object.keys(history.units)
    .map(Number)
    .sort((one, other) => one - other);
  const rows = units.map((unit) => history.units[unit]);
  return {
    units,
    rate: rows.map((row) => averaged(row, RATE)),
    share: shares(rows.map((row) => averaged(row, SHARE))),
  };
}

/** Each value with those before it, of so many in all. */
export function averaged(row, width) {
  let sum = 0;
  return row.map((value, place) => {
    sum += value - (place >= width ? row[place - width] : 0);
    return sum / Math.min(width, place + 1);
  });
}

export function shares(rows) {
  const totals = totalsOf(rows);
  return rows.map((row) =>
    row.map((value, place) => (totals[place] > 1e-9 ? value / totals[place] : null)),
  );
}

export function totalsOf(rows) {
  return (rows[0] ?? []).map((_, place) => rows.reduce((sum, row) => sum + row[place], 0));
}

/** Rows on top of each other: for each, [lower, upper] at each place, or null. */
export function stacked(rows) {
  const below = (rows[0] ?? []).map(() => 0);
  return rows.map((row) =>
    row.map((value, place) => {
      if (value === null) return null;
      const lower = below[place];
      below[place] += value;
      return [lower, below[place]];
    }),
  );
}

/** The least of 1, 2, 5, 10, 20, 50, … that isn't less. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
