"""A warm interpreter: jobs of one run of Snakemake fork from a process that has imported torch already.

Importing what experiments need takes two to four seconds of a processor for each job. The main process of a
run starts one server, which imports packages and nothing that a result depends on. Each `python -m elbogap`
of the run asks it for a child that runs the command in the caller's folder, environment and standard streams.
The command's exit status becomes the caller's, signals that the caller gets are passed on, and if the caller
is killed, so is the command. The server ends with the run. Where it cannot be reached, such as on another
host, the command runs in the interpreter that was started: nothing but time depends on it.
"""

import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

SOCKET = "ELBOGAP_WARM"  # environment variable of jobs: where the server listens

PRELOADED = (
    "elbogap.cli",
    "torch._dynamo",  # every optimiser imports it
    "pandas",
    "scipy.stats",
    "scipy.optimize",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "fontTools.subset",
)
"""Modules that most experiments and figures import; none of this package that a result depends on."""


def start() -> None:
    """Begin a server that ends with this process; on Linux alone, as others do not fork safely by then."""
    if sys.platform != "linux" or SOCKET in os.environ:
        return
    address = Path(tempfile.mkdtemp(prefix="elbogap-"), "warm")  # a socket's name has 107 bytes at most
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)  # callers wait while the packages are imported
        subprocess.Popen(
            [sys.executable, "-m", "elbogap.warm", str(address), str(listener.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for the callers, which pass it on
        )
    os.environ[SOCKET] = str(address)


def forward(argv: Sequence[str]) -> int | None:
    """Let the server run a command; its exit status, or None if there is no server."""
    request = {"argv": list(argv), "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ[SOCKET])
            socket.send_fds(connection, [b"."], [0, 1, 2])
            connection.sendall(json.dumps(request).encode() + b"\n")
            answers = connection.makefile("rb")
            command = int(answers.readline())
        except (KeyError, OSError, ValueError):
            return None

        def pass_on(number: int, _: object) -> None:
            with suppress(ProcessLookupError):
                os.kill(command, number)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, pass_on)
        try:
            return int(answers.readline())
        except (OSError, ValueError):
            return 128 + signal.SIGKILL  # what attends to the command was killed


def serve(address: Path, listener: socket.socket, parent: int) -> None:
    """Fork a child for each caller until the parent has ended, then wait for the children."""
    from elbogap.digest import prepare_to_fork

    with listener:
        listener.settimeout(0.5)
        for package in PRELOADED:
            importlib.import_module(package)
        prepare_to_fork()
        children: set[int] = set()
        while os.getppid() == parent or children:
            with suppress(TimeoutError), listener.accept()[0] as caller:
                child = os.fork()
                if child == 0:
                    listener.close()
                    _attend(caller)
                children.add(child)
            children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
    shutil.rmtree(address.parent, ignore_errors=True)


def _attend(caller: socket.socket) -> NoReturn:
    """Run the caller's command in a child, and tell its number first and its exit status at the end."""
    try:
        _, streams, _, _ = socket.recv_fds(caller, 1, 3)
        request = json.loads(caller.makefile("rb").readline())
        ended, running = os.pipe()
        command = os.fork()
        if command == 0:
            _run(request, streams)
        for descriptor in (*streams, running):  # the command's end of the pipe closes when it ends
            os.close(descriptor)
        with suppress(OSError):  # the caller was killed already, as is seen next
            caller.sendall(b"%d\n" % command)
        if caller.fileno() in select.select([caller.fileno(), ended], [], [])[0]:
            os.kill(command, signal.SIGKILL)  # a caller says nothing more: it was killed
        code = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        caller.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
    finally:
        os._exit(0)  # never back into the server


def _run(request: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    from elbogap import cli

    status = 1
    try:
        for own, stream in enumerate(streams):
            os.dup2(stream, own)
        sys.stdout = os.fdopen(1, "w", encoding=sys.stdout.encoding, closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, sys.stderr.encoding, "backslashreplace", closefd=False)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["elbogap", *request["argv"]]
        status = cli.main(request["argv"])
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3]))
