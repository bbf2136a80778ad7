"""Is it running, and how is it: what the roles say of themselves, and what the settings lack."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from mtad import control, db, ledger, tls
from mtad.config import Loaded
from mtad.directory import connections
from mtad.directory.lookup import dkim_keys
from mtad.errors import MtadError, Unreachable
from mtad.mailauth import keys
from mtad.where import Places

ROLES = ("mta", "log", "access", "jobs")
"""The processes of a running server, each with a control socket of its name."""
ASK_SECONDS = 5
SHOWN = 3
"""Violations of the books that are told word by word."""


def roles(places: Places) -> dict[str, dict[str, Any] | None]:
    """Each role's own answer to ``status``; None for a role that does not answer."""
    found: dict[str, dict[str, Any] | None] = {}
    for role in ROLES:
        try:
            answer = control.ask(places.socket(role), "status", seconds=ASK_SECONDS)
        except Unreachable:
            found[role] = None
        else:
            found[role] = {name: value for name, value in answer.items() if name != "ok"}
    return found


def sentence(role: str, said: Mapping[str, Any] | None) -> str:
    """What a role's answer means, in words; ``None`` is a role that does not answer."""
    if said is None:
        return "does not answer"
    return f"up, {_SENTENCES[role](said)}"


def settings(found: Mapping[str, Mapping[str, Any] | None]) -> tuple[bool, str] | None:
    """Whether the settings in force are those of the file, and how that came, in words.

    A role that started again has read what is in force later than the others, so the eldest
    reading counts, and the failure of any. None where no role tells.
    """
    told = [said["settings"] for said in found.values() if said and said.get("settings")]
    if not told:
        return None
    read = min(one["read_at"] for one in told)
    line = f"read {_when(read)}"
    failed = next((one for one in told if one.get("problem")), None)
    if failed:
        line += f", reading them again {_when(failed['failed_at'])} FAILED: {failed['problem']}"
    waiting = sorted({name for one in told for name in one.get("needs_restart", ())})
    if waiting:
        line += f"; a restart is needed for {', '.join(waiting)}"
    return failed is None, line


def balance(accounts: ledger.Accounts) -> tuple[bool, str]:
    """Whether the books balanced when they were looked at last, in words."""
    if not accounts.last_at:
        return True, "not audited yet"
    at = datetime.fromtimestamp(accounts.last_at / 1_000_000, UTC).isoformat()
    if not accounts.count:
        return True, f"balanced, audited {_when(at)}"
    found = f"{accounts.count} violation{'s' if accounts.count != 1 else ''}"
    first = "; ".join(accounts.texts[:SHOWN])
    return False, f"DO NOT BALANCE, {found}, audited {_when(at)}: {first}"


def _when(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%a %d %b %H:%M:%S}"


def _mta(said: Mapping[str, Any]) -> str:
    tls_word = "TLS offered" if said.get("tls") else "no certificate, so no TLS"
    queue = said.get("queue", {})
    waiting = "the queue is being loaded"
    if queue.get("loaded"):
        waiting = f"{_count(queue, 'recipients', 'recipient')} in the queue"
    return (
        f"{_count(said, 'connections', 'connection')} now, "
        f"{_count(said, 'connections_total', 'connection')} and "
        f"{_count(said, 'messages', 'message')} since it started, {waiting}, {tls_word}"
    )


def _log(said: Mapping[str, Any]) -> str:
    if said.get("problem"):
        return f"but stuck for {said.get('problem_seconds', 0)} s: {said['problem']}"
    return f"{_count(said, 'frames', 'journal frame')} applied since it started"


def _access(said: Mapping[str, Any]) -> str:
    return f"{_count(said, 'open', 'box', 'boxes')} open"


def _jobs(said: Mapping[str, Any]) -> str:
    running = said.get("running")
    parts = [f"{running} is running" if running else "nothing is running"]
    if last := said.get("last"):
        good = f"last snapshot {last.get('snapshot')}"
        parts.append(good if last.get("ok") else f"the last one FAILED: {last.get('error')}")
    for name, at in sorted((said.get("next") or {}).items(), key=lambda item: str(item[1])):
        if at:
            when = datetime.fromisoformat(at).astimezone()
            parts.append(f"next {name} {when:%a %d %b %H:%M}")
    return ", ".join(parts)


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "mta": _mta,
    "log": _log,
    "access": _access,
    "jobs": _jobs,
}


def _count(said: Mapping[str, Any], name: str, one: str, many: str = "") -> str:
    number = said.get(name, 0)
    return f"{number} {one if number == 1 else many or one + 's'}"


def _dkim(loaded: Loaded) -> Iterator[str]:
    """Keys that the directory names and nobody can read."""
    try:
        with connections.reading(loaded.places.state_db) as connection:
            held = dkim_keys(connection)
    except MtadError:
        return  # told of already
    for domain, found in sorted(held.items()):
        for key in found:
            try:
                keys.read(loaded.beside(keys.file_of(domain, key.selector)))
            except MtadError as error:
                yield f"dkim: {error}; 'mtad dkim rotate {domain}' makes another key"


def problems(loaded: Loaded) -> Iterator[str]:
    """What would keep a server with these settings from working, each as one sentence."""
    data = loaded.places.data
    if not data.is_dir():
        yield f"data_dir: {data} does not exist; 'mtad quickstart' makes one"
    elif not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        yield f"data_dir: {data} is not writable for this user"
    else:
        try:
            db.check(loaded.places.state_db, db.STATE)
        except MtadError as error:
            yield str(error)
    beside, settings = loaded.beside, loaded.config
    try:
        tls.server_context(beside(settings.tls.certificate), beside(settings.tls.key))
    except MtadError as error:
        yield f"tls: {error}"
    yield from _dkim(loaded)
    if not beside(settings.backup.key_file).is_file():
        yield (
            f"backup.key_file: there is no file {beside(settings.backup.key_file)}; "
            "put the repository's key back, no snapshot can be read without it"
        )
