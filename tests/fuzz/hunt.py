"""One target, hunted by libFuzzer in this process, which does not return: `tests.fuzz` runs it.

    python -m tests.fuzz.hunt NAME [libFuzzer's options and folders]

Needs atheris, which nothing else does: it sees which branches of our modules an input takes.
"""

import sys

import atheris

with atheris.instrument_imports(include=["agents", "ryu_apps"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    _, name, *arguments = sys.argv
    # When it chooses among inputs, libFuzzer runs this word again, by a shell.
    again = f"{sys.executable} -W ignore -m tests.fuzz.hunt {name}"
    atheris.Setup([again, *arguments], TARGETS[name])
    atheris.Fuzz()
