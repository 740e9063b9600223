"""Runs a command on a host of a lab, as if it had been started there.

    python enter.py INIT NODE COMMAND…

INIT is the process id of the sandbox's first process as this machine sees it, NODE that of the
host's shell as the sandbox does. The command gets the host's network and files and the sandbox's
processes, this process's terminal, standard streams and directory; its end, exit code or signal, is
this process's end. Signals sent here go to it; if this process is killed, so is the command. Only
the standard library, and little of it: this starts before each command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# <asm-generic/siginfo.h>: a terminal's signal, which the whole foreground group has got already
_SI_KERNEL = 0x80
_PASSED_ON = frozenset(
    (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGCHLD,
    )
)
_libc = ctypes.CDLL(None, use_errno=True)


def namespaces(init: int, node: int) -> tuple[str, str, str]:
    """The files that stand for the process ids, network and mounts of a host of the sandbox, in the
    order to enter.
    """
    inside = f"/proc/{init}/root/proc/{node}/ns"
    return f"/proc/{init}/ns/pid", f"{inside}/net", f"{inside}/mnt"


def join(paths: tuple[str, ...]) -> None:
    """This thread joins these namespaces (the children, for process ids). OSError if it may not."""
    files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths]
    for file, path in zip(files, paths, strict=True):
        if _libc.setns(file, 0) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        os.close(file)


def main(argv: list[str]) -> int:
    """The command's exit code; 127 if there is no such command, 126 if it can't be run."""
    init, node, command = int(argv[0]), int(argv[1]), argv[2:]
    directory = os.getcwd()
    join(namespaces(init, node))
    if os.path.isdir(directory):
        os.chdir(directory)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _become(command)
    status = _wait(child)
    if os.WIFSIGNALED(status):
        _die_of(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def _become(command: list[str]) -> None:
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _wait(child: int) -> int:
    while True:
        got = signal.sigwaitinfo(_PASSED_ON)
        if got.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
        elif got.si_code != _SI_KERNEL:
            os.kill(child, got.si_signo)


def _die_of(number: int) -> None:
    """Whoever waits for this process must see what ended the command."""
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
