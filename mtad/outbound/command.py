"""Delivery to a program: the message on its standard input, its exit status as the answer.

The program runs as the server's user, without a shell, once per recipient, in a session of its
own; at its time limit it is killed with everything it started. What it prints is kept as its
reply, in part. Exit statuses are those of sysexits.h; one that is not known keeps the mail,
because a program that is broken or missing should cost none.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from mtad.outbound import envelope
from mtad.outbound.attempt import Kind, Mail, Outcome, Recipient
from mtad.outbound.envelope import BadPath
from mtad.outbound.reply import shown
from mtad.outbound.stored import open_to_send

MAX_OUTPUT = 4096
"""Octets kept of what a program prints."""
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

STATUSES: dict[int, tuple[Kind, str, str]] = {
    0: ("delivered", "2.0.0", ""),
    64: ("failed", "5.3.0", "wrong usage"),
    65: ("failed", "5.6.0", "data format error"),
    66: ("failed", "5.3.0", "no input"),
    67: ("failed", "5.1.1", "no such user"),
    68: ("failed", "5.1.2", "no such host"),
    69: ("failed", "5.3.0", "unavailable"),
    70: ("failed", "5.3.0", "software error"),
    71: ("deferred", "4.3.0", "system error"),
    72: ("failed", "5.3.0", "system file missing"),
    73: ("failed", "5.2.0", "cannot create"),
    74: ("deferred", "4.3.0", "input or output error"),
    75: ("deferred", "4.3.0", "temporary failure"),
    76: ("failed", "5.5.0", "protocol error"),
    77: ("failed", "5.7.0", "permission denied"),
    78: ("failed", "5.3.5", "configuration error"),
}
"""sysexits.h: what a status means for the recipient."""


async def deliver(
    argv: Sequence[str], mail: Mail, recipients: Sequence[Recipient], seconds: float
) -> Sequence[Outcome]:
    """Run the program for each recipient. Raises OSError when the message cannot be read."""
    return [await _one(argv, mail, recipient, seconds) for recipient in recipients]


async def _one(argv: Sequence[str], mail: Mail, recipient: Recipient, seconds: float) -> Outcome:
    n, program = recipient.n, argv[0]
    try:
        words = arguments(argv, mail.sender, recipient.address)
    except BadPath as error:
        return Outcome(n, "failed", "command", enh="5.1.3", why=str(error), host=program)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        status, output = await _run(words, mail.content, seconds)
    except TimeoutError:
        why = f"not finished within {seconds:g} s"
        return Outcome(n, "deferred", "command", enh="4.3.0", why=why, host=program)
    except _NotStarted as error:
        why = f"cannot be started: {error}"
        return Outcome(n, "deferred", "command", enh="4.3.5", why=why, host=program)
    kind, enh, why = STATUSES.get(status, ("deferred", "4.3.0", "not in sysexits.h"))
    if kind != "delivered":
        why = f"signal {-status}" if status < 0 else f"exit status {status}, {why}"
    return Outcome(
        n,
        kind,
        "" if kind == "delivered" else "command",
        enh=enh,
        reply=output,
        why=why,
        host=program,
        ms=round((loop.time() - begun) * 1000, 1),
        lmtp=True,
    )


def arguments(argv: Sequence[str], sender: str, recipient: str) -> Sequence[str]:
    """The program's words with the addresses in them. Raises BadPath.

    An address at the beginning of a word must not look like an option.
    """
    for address in filter(None, (sender, recipient)):
        envelope.path(address, utf8=True)
    local, _, domain = recipient.rpartition("@")
    values = {
        "{sender}": sender,
        "{recipient}": recipient,
        "{local}": local,
        "{domain}": domain,
    }
    words = [argv[0]]
    for template in argv[1:]:
        # What was put in is not looked at again.
        word = "".join(values.get(part, part) for part in _parts(template))
        if word.startswith("-") and template.startswith("{"):
            raise BadPath("the address would be taken for an option")
        words.append(word)
    return words


def _parts(template: str) -> Sequence[str]:
    """A word cut at its placeholders, which are parts of their own."""
    parts: list[str] = []
    rest = template
    while rest:
        before, brace, after = rest.partition("{")
        inner, end, rest = after.partition("}")
        parts.append(before)
        parts.append(brace + inner + end)
    return parts


class _NotStarted(Exception):
    """The program did not even start."""


async def _run(words: Sequence[str], content: bytes | Path, seconds: float) -> tuple[int, str]:
    """Exit status, negative for a signal, and what was printed. Raises TimeoutError, OSError."""
    loop = asyncio.get_running_loop()
    source = await loop.run_in_executor(None, _open, content)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=source,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise _NotStarted(error.strerror or str(error)) from error
    finally:
        os.close(source)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(seconds):
            output = await _read(process.stdout)
            status = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return status, "\n".join(map(shown, output.strip().split(b"\n"))) if output.strip() else ""


async def _read(stream: asyncio.StreamReader) -> bytes:
    """The beginning of what comes; all of it is taken, so that the program does not wait."""
    output = b""
    while block := await stream.read(65536):
        output += block[: MAX_OUTPUT - len(output)]
    return output


def _open(content: bytes | Path) -> int:
    """A descriptor the message can be read from. Raises OSError."""
    if isinstance(content, Path):
        with open_to_send(content) as file:
            number = os.dup(file.fileno())
            os.lseek(number, file.tell(), os.SEEK_SET)
        return number
    number = os.memfd_create("message")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(number, 0, os.SEEK_SET)
    except BaseException:
        os.close(number)
        raise
    return number
