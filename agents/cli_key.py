"""`synod key`: the cluster's key, and its replacement. All units have the same file; nothing here
carries it to another.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from agents import config_key
from agents.cli_output import MISUSED, JsonOption, fail, out, say
from agents.config_key import KeyFileError, NoKey
from agents.wire.seal import KEY_SIZE, MOST_KEYS

key_app = typer.Typer(
    no_args_is_help=True,
    help="""The cluster's key: what its units know each other by.

    It is a file of one or two lines, the same on every unit. To replace the key, each of

        synod key add
        synod key use
        synod key drop

    on one unit, the file copied to all others before the next. Agents take it up by themselves.""",
)

FileOption = Annotated[
    Path,
    typer.Option("--file", "-f", envvar=config_key.VARIABLE, help="The file with the key."),
]
_DEFAULT = Path(config_key.DEFAULT_PATH)


@key_app.command("make")
def make(file: FileOption = _DEFAULT, as_json: JsonOption = False) -> None:
    """Make the first key of a cluster, where there is none yet."""
    try:
        config_key.load(str(file))
    except NoKey:
        _write(file, [secrets.token_bytes(KEY_SIZE)], as_json)
    except KeyFileError as error:
        fail(str(error), MISUSED)
    else:
        fail(f"{file}: there is a key already: 'synod key add' begins to replace it", MISUSED)


@key_app.command("add")
def add(file: FileOption = _DEFAULT, as_json: JsonOption = False) -> None:
    """Make another key, which is accepted beside the one that seals."""
    keys = _load(file)
    if len(keys) == MOST_KEYS:
        fail(f"{file}: there are two keys: 'synod key drop' takes the second away", MISUSED)
    _write(file, [*keys, secrets.token_bytes(KEY_SIZE)], as_json)


@key_app.command("use")
def use(file: FileOption = _DEFAULT, as_json: JsonOption = False) -> None:
    """From now on the second key seals, and the first is accepted beside it."""
    _write(file, _two(file)[::-1], as_json)


@key_app.command("drop")
def drop(file: FileOption = _DEFAULT, as_json: JsonOption = False) -> None:
    """Take the second key away: it is accepted no more."""
    _write(file, _two(file)[:1], as_json)


@key_app.command("show")
def show(file: FileOption = _DEFAULT, as_json: JsonOption = False) -> None:
    """What the keys are called: by that, agents and the app speak of them."""
    _say(file, _load(file), as_json)


def _two(file: Path) -> tuple[bytes, ...]:
    keys = _load(file)
    if len(keys) < MOST_KEYS:
        fail(f"{file}: there is one key only: 'synod key add' makes another", MISUSED)
    return keys


def _load(file: Path) -> tuple[bytes, ...]:
    try:
        return config_key.load(str(file))
    except KeyFileError as error:
        fail(str(error), MISUSED)


def _write(file: Path, keys: Sequence[bytes], as_json: bool) -> None:
    """Whole or not at all, and never to be read by others; whose file it was, it stays."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            if file.exists():
                before = file.stat()
                os.fchown(written.fileno(), before.st_uid, before.st_gid)
            written.write(config_key.text(keys))
            written.flush()
            os.fsync(written.fileno())
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        fail(f"{file}: {error.strerror}")
    _say(file, keys, as_json)


def _say(file: Path, keys: Sequence[bytes], as_json: bool) -> None:
    names = config_key.names(keys)
    if as_json:
        say({"file": str(file), "seals": names[0], "accepted": list(names)})
        return
    accepted = f", {names[1]} is accepted, too" if names[1:] else ""
    out.print(f"{file}: {names[0]} seals{accepted}")
