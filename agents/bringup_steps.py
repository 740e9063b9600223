"""The kinds of step by which a host becomes a unit, and how each reads in a shell.

Data: a step says why it is done, what is done and, of a command, what takes it back. Which steps a
unit needs is `agents.bringup`'s to say; they are done by `agents.provision`, never here.
"""

import shlex
from dataclasses import dataclass

BLOCK_BEGIN, BLOCK_END = "# begin synod", "# end synod"


@dataclass(frozen=True, slots=True)
class Command:
    """A command, run as it stands. `undo`, where not empty, takes back what it did."""

    why: str
    argv: tuple[str, ...]
    undo: tuple[str, ...] = ()
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Sysctls:
    """Kernel settings, by their path below /proc/sys. What they were before comes back."""

    why: str
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Offloads:
    """Features of a NIC that must be off. Those that were on come back."""

    why: str
    nic: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Lines for a file that may have others; they stand between two marks, by which they are found
    and removed.
    """

    why: str
    path: str
    text: str


Step = Command | Sysctls | Offloads | Block


def shell(step: Step) -> str:
    """The step as a reader can paste it into a root shell, its reason above it."""
    return f"# {step.why}\n{lines(step)}\n"


def lines(step: Step) -> str:
    """The same without its reason."""
    match step:
        case Command(_, argv, _, stdin):
            text = _wrapped(argv)
            return f"{text} <<'EOF'\n{stdin.rstrip()}\nEOF" if stdin else text
        case Sysctls(_, values):
            return shlex.join(sysctl_argv(values))
        case Offloads(_, nic, features):
            return shlex.join(offload_argv(nic, dict.fromkeys(features, "off")))
        case Block(_, path, text):
            return f"cat >>{path} <<'EOF'\n{block_text(text)}EOF"


def sysctl_argv(values: tuple[tuple[str, int | str], ...]) -> tuple[str, ...]:
    """`sysctl -w` with slashes in the keys: an interface's name may have dots."""
    return ("sysctl", "-q", "-w", *(f"{key}={value}" for key, value in values))


def offload_argv(nic: str, features: dict[str, str]) -> tuple[str, ...]:
    """`ethtool -K` that switches features on or off."""
    return ("ethtool", "-K", nic, *(word for pair in features.items() for word in pair))


def block_text(text: str) -> str:
    """The lines with their marks."""
    return f"{BLOCK_BEGIN}\n{text.rstrip()}\n{BLOCK_END}\n"


def _wrapped(argv: tuple[str, ...]) -> str:
    """A shell line, a long ovs-vsctl's commands each on its own."""
    return shlex.join(argv).replace(" -- ", " \\\n    -- ")
