"""A warm interpreter: jobs of one run of Snakemake fork from a process that has imported torch already.

Importing what experiments need takes two to four seconds of a processor for each job. The main process of a
run starts one server, which imports packages and nothing that a result depends on. Each `python -m elbogap`
of the run asks it for a child that runs the command in the caller's folder, environment and standard streams.
The child's exit status becomes the caller's, signals that the caller gets are passed on, and if the caller is
killed, so is the child. The server ends with the run. Where it cannot be reached, such as on another host,
the command runs in the interpreter that was started: nothing but time depends on it.
"""

import importlib
import json
import os
import selectors
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

SOCKET = "ELBOGAP_WARM"
"""Environment variable of jobs: where the server listens."""

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

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start() -> None:
    """Begin a server for what this process starts; it ends with this process.

    It is for Linux: other systems do not fork safely once such packages are imported.
    """
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
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ[SOCKET])
            request = {"argv": list(argv), "folder": os.getcwd(), "environment": dict(os.environ)}
            content = json.dumps(request).encode()
            socket.send_fds(connection, [_bytes(len(content))], [0, 1, 2])
            connection.sendall(content)
            child = _number(connection)
        except (KeyError, OSError):
            return None
        for passed in PASSED_ON:
            signal.signal(passed, lambda number, _: _kill(child, number))
        try:
            return _number(connection)
        except ConnectionError:
            return 128 + signal.SIGKILL  # the server was killed


def serve(address: Path, listener: socket.socket, parent: int) -> None:
    """Fork a child for each request until the parent has ended, then wait for the children."""
    from elbogap.digest import prepare_to_fork

    with listener, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        for package in PRELOADED:
            importlib.import_module(package)
        prepare_to_fork()
        callers: dict[int, socket.socket] = {}
        while os.getppid() == parent or callers:
            for key, _ in selector.select(0.02 if callers else 0.5):
                if key.data:  # a caller says nothing more: it was killed
                    _kill(key.data, signal.SIGKILL)
                    selector.unregister(key.fileobj)
                else:
                    caller, _ = listener.accept()
                    with suppress(OSError, ValueError):
                        child = _child(caller)
                        callers[child] = caller
                        selector.register(caller, selectors.EVENT_READ, child)
            _answer(callers, selector)
    shutil.rmtree(address.parent, ignore_errors=True)


def _child(caller: socket.socket) -> int:
    """Fork, and be the command in the child; the number of the child."""
    head, streams, _, _ = socket.recv_fds(caller, WORD, 3)
    content = b""
    while len(content) < int.from_bytes(head, "big"):
        content += caller.recv(2**16)
    child = os.fork()
    if child == 0:
        _run(json.loads(content), streams)
    for stream in streams:
        os.close(stream)
    caller.sendall(_bytes(child))
    return child


def _run(request: Mapping[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be the command, in the caller's folder, environment and streams."""
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


def _answer(callers: dict[int, socket.socket], selector: selectors.BaseSelector) -> None:
    """Tell the callers of children that have ended how they did."""
    for child in list(callers):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            caller = callers.pop(child)
            code = os.waitstatus_to_exitcode(status)
            with suppress(OSError):
                caller.sendall(_bytes(code if code >= 0 else 128 - code))
            with suppress(KeyError):
                selector.unregister(caller)
            caller.close()


WORD = 8


def _bytes(number: int) -> bytes:
    return number.to_bytes(WORD, "big")


def _number(connection: socket.socket) -> int:
    """The number that the other side sends.

    Raises:
        ConnectionError: it sends none.
    """
    content = connection.recv(WORD, socket.MSG_WAITALL)
    if len(content) < WORD:
        raise ConnectionError
    return int.from_bytes(content, "big")


def _kill(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, number)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])), int(sys.argv[3]))
