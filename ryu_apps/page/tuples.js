// What a person types or pastes into the search box -> the two ends of a session. Pure.

const END = /(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?!\d)/g;

/**
 * {src, dst}, each "ADDRESS:PORT"; null if there aren't two. Of a line of conntrack's, or of
 * several pairs, it is the first: the session as its client began it.
 */
export function tupleOf(text) {
  return ofConntrack(text) ?? ofEnds(text);
}

function ofEnds(text) {
  const ends = [...text.matchAll(END)].filter(([, address, port]) => isEnd(address, port));
  return ends.length < 2 ? null : { src: ends[0][0], dst: ends[1][0] };
}

function ofConntrack(text) {
  const [src, dst, sport, dport] = ["src", "dst", "sport", "dport"].map(
    (key) => text.match(new RegExp(`(?<!\\w)${key}=([\\d.]+)`))?.[1],
  );
  if (!isEnd(src, sport) || !isEnd(dst, dport)) return null;
  return { src: `${src}:${sport}`, dst: `${dst}:${dport}` };
}

function isEnd(address, port) {
  const bytes = (address ?? "").split(".");
  return bytes.length === 4 && bytes.every((byte) => byte !== "" && byte <= 255) && port <= 65535;
}
