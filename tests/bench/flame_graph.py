"""Stacks that were sampled, as a flame graph (SVG) and as shares. Pure: text in, text out.

A stack is a tuple of names from the outermost function to the innermost. What `perf script` and
`py-spy --format raw` say is read here; what isn't a stack there is an error, not left out.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable
from xml.sax.saxutils import escape

Stacks = Counter[tuple[str, ...]]

WIDTH, ROW, HEAD = 1200, 17, 44  # px
_LETTER = 6.7  # px, of one at 11 px in a font of one width
_LEAST = 0.0015  # of all samples: narrower frames are not drawn
_FONT = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
# Hue and saturation by what a function is; the lightness tells neighbours apart.
_COLOURS = {"python": (38, 88), "kernel": (8, 68), "native": (205, 52), "all": (0, 0)}
_KINDS = {"python": "Python", "native": "C", "kernel": "kernel"}
_KERNEL, _ALL = " [k]", "all"

_FRAME = re.compile(r"\s+[0-9a-f]+ (.*) \((.*)\)$")
# How every program comes to its main function, and every one into the kernel: says nothing.
_WAYS_IN = re.compile(
    r"_start|__libc_start_.*|start_thread|clone3?|__clone3?|ovsthread_wrapper"
    r"|entry_SYSCALL_64.*|do_syscall_64|__x64_sys_.*"
)


def of_perf(text: str) -> Stacks:
    """`perf script -F comm,ip,sym,dso`: the outermost is the thread, without its number."""
    stacks: Stacks = Counter()
    for block in text.split("\n\n"):
        thread, *lines = block.strip("\n").split("\n")
        if not thread.strip():
            continue
        names = [name for line in reversed(lines) if (name := _perf_frame(line))]
        stacks[(re.sub(r"\d+$", "", thread.strip()), *names)] += 1
    return stacks


def of_py_spy(text: str) -> Stacks:
    """`py-spy record --format raw`: FRAME;FRAME;FRAME COUNT."""
    stacks: Stacks = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] += int(count)
    return stacks


def folded(stacks: Stacks) -> str:
    """As every other flame graph's program reads it."""
    return "".join(f"{';'.join(stack)} {count}\n" for stack, count in sorted(stacks.items()))


def without_common_root(stacks: Stacks) -> Stacks:
    """Without the frames that all have, but for the last of them."""
    every = list(stacks)
    same = 0
    while all(len(stack) > same + 1 for stack in every) and len({s[same] for s in every}) == 1:
        same += 1
    return Counter({stack[max(0, same - 1) :]: count for stack, count in stacks.items()})


def share(stacks: Stacks, names: Iterable[str]) -> float:
    """The part of all samples that have one of these anywhere: a name, or the beginning of it that
    ends with a `*`.
    """
    wanted = [re.compile(re.escape(name).replace(r"\*", ".*")) for name in names]
    within = sum(
        count
        for stack, count in stacks.items()
        if any(each.fullmatch(frame) for frame in stack for each in wanted)
    )
    return within / (stacks.total() or 1)


def svg(stacks: Stacks, title: str) -> str:
    """The flame graph. The same stacks give the same bytes."""
    depth = max(map(len, stacks))
    height = HEAD + ROW * (depth + 1) + 6
    total = stacks.total()
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' font-family="{_FONT}" font-size="11" fill="#1b1f24">',
        f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
        f'<text x="10" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
        *_legend({_kind(frame) for stack in stacks for frame in stack[1:] or stack}),
    ]
    for level, start, count, name in _boxes(stacks):
        if count >= _LEAST * total:
            box = (start / total, count / total, height - 6 - ROW * (level + 1))
            out.append(_box(*box, name, f"{name}: {count / total:.1%} of {total:,} samples"))
    return "\n".join([*out, "</svg>\n"])


def _boxes(stacks: Stacks) -> Iterable[tuple[int, int, int, str]]:
    """Level, first sample, number of samples, name: of each frame that is called by the same."""
    yield 0, 0, stacks.total(), _ALL
    waiting = [(1, 0, sorted(stacks.items()))]
    while waiting:
        level, start, items = waiting.pop()
        by_name: dict[str, list[tuple[tuple[str, ...], int]]] = {}
        for stack, count in items:
            if stack:
                by_name.setdefault(stack[0], []).append((stack[1:], count))
        for name, rest in by_name.items():
            count = sum(number for _, number in rest)
            yield level, start, count, name
            waiting.append((level + 1, start, rest))
            start += count


def _box(left: float, width: float, y: int, name: str, told: str) -> str:
    scale = WIDTH - 20
    x, wide = 10 + left * scale, width * scale
    letters = int((wide - 4) / _LETTER)
    shown = name.removesuffix(_KERNEL)
    if len(shown) > letters:
        shown = shown[: letters - 1] + "…" if letters > 3 else ""
    text = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(shown)}</text>' if shown else ""
    return (
        f'<g><title>{escape(told)}</title><rect x="{x:.1f}" y="{y}" width="{wide:.1f}"'
        f' height="{ROW - 1}" fill="{_colour(name)}"/>{text}</g>'
    )


def _kind(name: str) -> str:
    if name == _ALL:
        return "all"
    if name.endswith(_KERNEL):
        return "kernel"
    return "python" if re.search(r"\(\S+\.pyx?\)$", name) else "native"


def _colour(name: str) -> str:
    hue, saturation = _COLOURS[_kind(name)]
    return f"hsl({hue},{saturation}%,{66 + zlib.crc32(name.encode()) % 16}%)"


def _legend(kinds: set[str]) -> list[str]:
    out = []
    there = {kind: text for kind, text in _KINDS.items() if kind in kinds}
    for place, (kind, text) in enumerate(there.items()):
        hue, saturation = _COLOURS[kind]
        x = 10 + 80 * place
        out.append(
            f'<rect x="{x}" y="27" width="11" height="11" fill="hsl({hue},{saturation}%,72%)"/>'
        )
        out.append(f'<text x="{x + 16}" y="37">{text}</text>')
    width = "the wider, the more of the time; upwards, what it calls"
    return [*out, f'<text x="{10 + 80 * len(there)}" y="37" fill="#57606a">{width}</text>']


def _perf_frame(line: str) -> str:
    """A frame's name; nothing if it is one that says nothing."""
    found = _FRAME.match(line)
    if not found:
        raise ValueError(f"perf script said {line!r}")
    name, where = found[1].partition("@@")[0], found[2].rpartition("/")[2]
    if _WAYS_IN.fullmatch(name):
        return ""
    if where.startswith("[kernel") or where.endswith(".ko"):
        return name + _KERNEL
    if name == "[unknown]":  # not even where it is: a frame that perf guessed at
        return "" if where == "[unknown]" else f"in {where}"
    return name
