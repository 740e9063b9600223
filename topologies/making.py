"""How a lab comes into being: directory, sandbox, units; and what is said if it doesn't.

`topologies.lab` says in which order.
"""

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agents import config_key, pki
from agents.machine import ProvisionError
from topologies import recipe, registry
from topologies.hosts import LabError
from topologies.recipe import Options

_TAIL = 15  # lines of a log that an error shows
_NO_NEWS = ("ovsdb-server.log", "unit-up.log")  # logs that say nothing that isn't said elsewhere


def make_directory(options: Options, config: Path) -> None:
    """The lab's files, before anything runs. LabError if there is a lab of that name."""
    if os.geteuid() != 0:
        raise LabError("a lab is made of network namespaces: only root can")
    name = options.name
    try:
        registry.create(options.directory)
    except FileExistsError:
        raise LabError(
            f"there is a lab {name!r} already: 'synod-lab down --name {name}' ends it"
        ) from None
    _log_dir(options).mkdir()
    config.write_text(recipe.cluster_file(options))
    (options.directory / "rules.nft").write_text(options.rules)
    token = recipe.token_file(config)
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32) + "\n")
    key = recipe.key_file(config)
    key.touch(mode=0o600)
    key.write_text(config_key.text([secrets.token_bytes(32)]))
    try:
        pki.make(options.directory / recipe.KEYS, range(1, options.units + 1), lambda _what: None)
    except ProvisionError as error:
        raise LabError(f"keys and certificates could not be made: {error}") from None


def start_sandbox(options: Options, tied: bool) -> registry.State:
    """The network with its hosts; `tied` to this process, or not. LabError if it can't be built."""
    # Read from here if it fails: by then the keeper has removed the directory.
    with (_log_dir(options) / "sandbox.log").open("w+b") as log:
        process = subprocess.Popen(
            recipe.keeper_argv(options, tied),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        assert process.stdout is not None
        with process.stdout as answer:
            line = answer.readline()
        said = b"" if line else os.pread(log.fileno(), 1 << 16, 0)
    # Collects the keeper, whenever it ends.
    threading.Thread(target=process.wait, daemon=True).start()
    if not line:
        raise LabError(f"the network could not be built:\n{said.decode(errors='replace')}")
    state = registry.State(**json.loads(line), options=asdict(options))
    registry.write(options.directory, state)
    return state


def units_up(
    popen: Callable[..., subprocess.Popen[Any]], config: Path, log_dir: Path, units: Sequence[int]
) -> None:
    """`synod unit up` on all units at once: most of it is waiting. LabError with what failed."""
    started = {
        number: popen(
            f"u{number}",
            recipe.unit_argv("up", config, number),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in units
    }
    failed = []
    for number, process in started.items():
        said = process.communicate(timeout=120)[0]
        (log_dir / f"u{number}" / "unit-up.log").write_text(said)
        if process.returncode != 0:
            failed.append(f"u{number}: {said.strip()}")
    if failed:
        raise LabError("\n".join(failed))


def post_mortem(log_dir: Path, failure: BaseException) -> str:
    """The failure, and the last lines of the logs that have any."""
    words = [str(failure)]
    for log in sorted(log_dir.rglob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-_TAIL:]
        if lines and log.name not in _NO_NEWS:
            words += [f"--- {log.relative_to(log_dir)}", *lines]
    return "\n".join(words)


def _log_dir(options: Options) -> Path:
    return options.directory / "log"
