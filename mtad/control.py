"""The control sockets: one JSON object per line, over a unix socket, with peer credentials.

A request is ``{"verb": ..., **arguments}``; the answer is ``{"ok": true, ...}`` or
``{"ok": false, "error": sentence, "exit": number}``. A stream sends further lines of its own.
Each role serves its own verbs on ``run/<role>.sock``. Only root and the daemon's own user
are heard (SO_PEERCRED). Nothing heavy is imported: the client side starts in milliseconds.
"""

import json
import os
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtad.errors import Exit, MtadError, Unreachable

if TYPE_CHECKING:
    import asyncio

MAX_LINE = 8 * 2**20
"""Octets in one request or answer."""

Answer = dict[str, Any]
Verb = Callable[[Answer], Awaitable[Answer | AsyncIterator[Answer]]]


class Remote(MtadError):
    """The daemon's own error, shown as it said it."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = Exit(exit_code) if exit_code in set(Exit) else Exit.FAILURE


def ask(path: Path, verb: str, *, seconds: float = 30, **arguments: Any) -> Answer:
    """One question to a role and its answer. Raises Unreachable, or Remote with its error."""
    for answer in stream(path, verb, seconds=seconds, **arguments):
        return answer
    raise Unreachable(f"the daemon does not answer on {path}: it hung up")


def stream(
    path: Path, verb: str, *, seconds: float | None = 30, **arguments: Any
) -> Iterator[Answer]:
    """A question that is answered by several lines, until the other side has no more."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(seconds)
        try:
            _connect(link, path)
            link.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            with link.makefile("rb") as lines:
                while line := lines.readline(MAX_LINE):
                    answer = json.loads(line)
                    if not answer.get("ok", True):
                        raise Remote(answer.get("error", "failed"), answer.get("exit", 1))
                    yield answer
        except (OSError, ValueError) as error:
            raise Unreachable(f"the daemon does not answer on {path}: {error}") from error


def _connect(link: socket.socket, path: Path) -> None:
    """Connect, also where the path is longer than the 107 octets a socket name may have."""
    if len(os.fsencode(path)) < 100:
        link.connect(os.fspath(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        link.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def bind(path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A bound unix socket that only its owner can open, in place of a stale one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.unlink(missing_ok=True)
    link = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    mask = os.umask(0o177)
    try:
        link.bind(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        link.close()
        raise
    finally:
        os.umask(mask)
        os.close(folder)
    return link


def peer(link: socket.socket) -> tuple[int, int]:
    """The process and user at the other end (SO_PEERCRED)."""
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return pid, uid


async def serve(path: Path, verbs: Mapping[str, Verb]) -> "asyncio.Server":
    """Answer on a control socket until the returned server is closed."""
    import asyncio  # noqa: PLC0415 - a client that only asks starts without it

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _, uid = peer(writer.get_extra_info("socket"))
            while line := await reader.readline():
                await _answer(line, uid, verbs, writer)
        except (ConnectionError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(connection, sock=bind(path), limit=MAX_LINE)


async def _answer(
    line: bytes, uid: int, verbs: Mapping[str, Verb], writer: "asyncio.StreamWriter"
) -> None:
    """Run one request; every failure becomes an answer."""
    try:
        if uid not in (0, os.getuid()):
            raise Remote("only root and the mail server's own user may ask", Exit.NOT_PERMITTED)
        request = json.loads(line)
        verb = verbs.get(request.pop("verb", ""))
        if verb is None:
            raise Remote("no such request; is the daemon of another version?", Exit.USAGE)
        result = await verb(request)
        if isinstance(result, dict):
            await _send(writer, {"ok": True, **result})
            return
        async for part in result:
            await _send(writer, part)
        writer.close()
    except MtadError as error:
        await _send(writer, {"ok": False, "error": str(error), "exit": int(error.exit_code)})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        text = f"malformed request: {error!r}"
        await _send(writer, {"ok": False, "error": text, "exit": int(Exit.USAGE)})


async def _send(writer: "asyncio.StreamWriter", answer: Answer) -> None:
    writer.write(json.dumps(answer, ensure_ascii=True).encode() + b"\n")
    await writer.drain()


async def listen(path: Path, verb: str, **arguments: Any) -> AsyncGenerator[Answer, None]:
    """A stream of answers for a program with an event loop; closing it ends it at once.

    Raises Unreachable when the role does not answer or goes away, Remote with its error.
    """
    import asyncio  # noqa: PLC0415 - a client that only asks starts without it

    link = socket.socket(socket.AF_UNIX)
    writer: asyncio.StreamWriter | None = None
    try:
        _connect(link, path)
        link.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=link, limit=MAX_LINE)
        writer.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
        while line := await reader.readline():
            answer = json.loads(line)
            if not answer.get("ok", True):
                raise Remote(answer.get("error", "failed"), answer.get("exit", 1))
            yield answer
    except (OSError, ValueError) as error:
        raise Unreachable(f"the daemon does not answer on {path}: {error}") from error
    finally:
        if writer is None:
            link.close()
        else:
            writer.close()
