"""Why a message is where it is: one sentence for each recipient, its evidence, what to do (PURE).

Judged from a timeline document (``tracing.answers.timeline``), so that the daemon's answer and
one made from files are judged alike. The sentences and causes are data: ``verdicts.toml`` and
``causes.toml``, in English and Russian. Every message that was not simply delivered gets
exactly one cause: the first of the file that fits.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from tracing import aftermath, causes
from tracing.causes import Cause, Refused, Words
from tracing.render import Document, safe
from tracing.states import BY_WORD, State

LANGUAGES = ("en", "ru")
HIDDEN = "…"
"""The mailbox of a copy that is not for the asker to know about."""
MAX_EVIDENCE = 12
"""Lines of evidence; the first and the last are kept."""

_SIMPLE = {
    State.QUARANTINED: "QUARANTINED",
    State.DISCARDED: "DISCARDED",
    State.REPLACED: "REPLACED",
    State.DUPLICATE: "DUPLICATE",
    State.RECEIVING: "RECEIVING",
    State.QUEUED: "QUEUED",
    State.HELD: "HELD",
    State.CANCELLED: "CANCELLED",
    State.EXPIRED: "EXPIRED",
    State.DEFERRED: "WAITING",
    State.BOUNCED: "BOUNCED",
    State.REFUSED: "REJECTED",
    State.TEMPFAILED: "TRY_LATER",
    State.ABORTED: "ABORTED",
}
_REFUSALS = ("smtp.reject", "smtp.tempfail")
_GREYLISTS = ("greylist", "greylisting")
_NEEDS_CAUSE = frozenset(
    {
        "GREYLISTED_NO_RETURN",
        "NETWORK_DENIED",
        "BOUNCED",
        "EXPIRED",
        "FORWARD_FAILED",
        "WAITING",
        "REJECTED",
        "TRY_LATER",
        "REMOTE_LOST",
    }
)


_OURS = frozenset({"REJECTED", "TRY_LATER", "GREYLISTED_NO_RETURN", "NETWORK_DENIED"})
"""Verdicts about what we said no to."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a message for one recipient."""

    n: int
    addr: str
    verdict: str
    cause: str
    sentence: str
    evidence: Sequence[str] = ()
    actions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """Sentences and causes in one language."""

    language: str
    verdicts: Mapping[str, Words]
    causes: Sequence[Cause]

    def cause(self, refusal: Refused) -> Cause | None:
        """The one cause of a refusal; None only where the file has no catch-all for it."""
        return next((cause for cause in self.causes if cause.fits(refusal)), None)


def book(verdicts: Mapping[str, Words], tables: Sequence[Words], language: str) -> Book:
    """The book out of the two files' tables. Raises KeyError, re.error for a bad table."""
    return Book(language, verdicts, [causes.read(table) for table in tables])


def judge(document: Document, words: Book, zone: tzinfo | None = None) -> list[Verdict]:
    """A verdict for each recipient of a timeline's message; none where there is no message."""
    message = document["message"]
    if message is None:
        return []
    events: Sequence[Document] = document["events"]
    listed: Sequence[Document] = message["recipient_list"]
    if not listed:
        return [_Case(document, _nobody(message), events, words, zone).verdict()]
    return [_Case(document, one, events, words, zone).verdict() for one in listed]


def _nobody(message: Document) -> Document:
    """A message that never had a recipient, as if it had one."""
    return (
        {"n": 0, "address": "", "state": message["state"], "mailbox": "", "tries": 0}
        | {name: "" for name in ("original", "enhanced", "reply", "stored", "next_try", "at")}
        | {"code": 0}
    )


@dataclass(slots=True)
class _Case:
    """One recipient before the judge."""

    document: Document
    recipient: Document
    events: Sequence[Document]
    words: Book
    zone: tzinfo | None
    facts: dict[str, str] = field(default_factory=dict)
    read: Document | None = None

    def verdict(self) -> Verdict:
        message, one = self.document["message"], self.recipient
        self.facts = {
            "id": message["id"],
            "addr": one["address"] or "-",
            "domain": one["address"].rpartition("@")[2] or "-",
            "sender": message["from"] or "<>",
            "ip": message["ip"],
            "host": "-",
            "reply": one["reply"],
            "mailbox": one["mailbox"] or "-",
            "tries": str(one["tries"]),
            "next": self._when(one["next_try"]),
            "when": self._when(one["at"]),
            "then": "",
            "who": "",
            "why": one["reply"] or "-",
            "stage": "",
            "original": one["original"] or "-",
            "restore": "",
        }
        imported = self._last("mail.imported")
        name = self._name(BY_WORD[one["state"]])
        if imported is not None:
            self.facts["server"] = imported["fields"].get("server", "-")
            self.facts["source"] = imported["fields"].get("source", "-")
            if BY_WORD[one["state"]].is_open:
                name = "NOT_TOLD"
        cause = self._cause(name) if name in _NEEDS_CAUSE else None
        if cause is not None:
            self.facts["cause"] = self._fill(cause.words[self.words.language])
        language, verdicts = self.words.language, self.words.verdicts
        there = f"{name}_THERE" if imported is not None else ""
        told = [self._fill(verdicts.get(there, verdicts[name])[language]), *self._on_the_way(name)]
        if imported is not None:
            told.append(self._fill(verdicts["IMPORTED"][language]))
        advice = verdicts[name]
        if name in ("DELETED", "VANISHED") and not self.facts["restore"]:
            advice = verdicts["NOT_KEPT"]
            told.append(self._fill(advice[language]))
        is_theirs = there in verdicts  # what their settings are is not for us to change
        actions = [*self._does(cause.words if cause and not is_theirs else {})]
        actions += self._does(advice)
        return Verdict(
            one["n"],
            one["address"],
            name,
            cause.name if cause else "",
            " ".join([*map(_ended, told[:-1]), told[-1]]),
            tuple(self._evidence()),
            tuple(dict.fromkeys(actions)),
        )

    def _name(self, state: State) -> str:
        """The verdict; fills the facts that belong to it."""
        if state is State.STORED:
            return self._in_a_box()
        if state is State.RELAYED:
            self._take(self._last("out.delivered"))
            later = self._last("dsn.got", only=lambda e: e["fields"].get("action") == "failed")
            if later is not None:
                # The rest of its words, hosts and times are a stranger's claims.
                self.facts |= {"taker": self.facts["host"], "taken": self.facts["when"]}
                somebody = {"en": "somebody", "ru": "кто-то"}[self.words.language]
                self.facts["reporter"] = later["fields"].get("reporter") or somebody
                return "REMOTE_LOST"
            return "REMOTE_ACCEPTED"
        if state is State.BOUNCED:
            admin = self._last("queue.bounce")
            if admin is not None:
                self._take(admin)
                return "RETURNED"
        if state in (State.BOUNCED, State.EXPIRED) and self._last("route.forward"):
            return "FORWARD_FAILED"
        if state in (State.HELD, State.CANCELLED):
            self._take(self._last("queue.hold", "queue.drop"))
        if state is State.ABORTED:
            self._take(self._last("smtp.abort"))
        if state is State.REFUSED:
            denied = next((e for e in self.events if e["kind"] == "auth.refused"), None)
            if denied is not None and self._last("smtp.reject"):
                self.facts |= {"login": denied["fields"]["login"], "rule": denied["fields"]["rule"]}
                return "NETWORK_DENIED"
        if state is State.TEMPFAILED and self._never_returned():
            return "GREYLISTED_NO_RETURN"
        if state.is_open and self.recipient["tries"] and state is not State.HELD:
            return "WAITING"
        return _SIMPLE.get(state, "LOST")

    def _never_returned(self) -> bool:
        """Whether greylisting put it off and it is known that nobody sent it again."""
        event = self._last("smtp.tempfail")
        is_grey = event is not None and event["fields"].get("check") in _GREYLISTS
        known = self.document.get("returned")
        return is_grey and known is not None and not known.get(self.recipient["address"])

    def _in_a_box(self) -> str:
        fate = aftermath.of(self.events, self.recipient["stored"])
        first = next((e for e in self._own("store.delivered")), None)
        if first is not None:
            self.facts["when"] = self._when(first["at"])
        if self.recipient["mailbox"] == HIDDEN:
            return "DELIVERED"
        self.read = fate.read
        if fate.last is None:
            if fate.read is not None:
                self._take_reading("then")
                return "READ"
            into = str(first["fields"].get("mailbox", "")) if first is not None else ""
            return "FILED_ELSEWHERE" if into not in ("", aftermath.INBOX) else "STORED"
        last = fate.last
        self._take(last)
        self.facts["then"] = self._when(last["at"])
        if last["kind"] == "box.move":
            return "MOVED"
        if last["kind"] == "restore.message":
            self.facts["snapshot"] = last["fields"].get("snapshot", "-")
            return "RESTORED"
        self.facts["mailbox"] = last["fields"].get("mailbox", "-")
        self.facts["restore"] = self._restore(last)
        return "DELETED" if last["kind"] == "box.expunge" else "VANISHED"

    def _take_reading(self, name: str) -> None:
        if self.read is not None:
            self.facts[name] = self._when(self.read["at"])
            self.facts["who"] = _who(self.read["fields"], self.words.language)

    def _restore(self, gone: Document) -> str:
        """The command that puts it back, of the snapshot that has it; "" where none has."""
        words = ["mtad", "restore", "--box", self.recipient["address"]]
        if "kept" in self.document:
            snapshot = self.document["kept"].get(f"{gone['month']}/{gone['seq']}", "")
            if not snapshot:
                return ""
            words += ["--snapshot", snapshot]
        return shlex.join([*words, self.facts["id"]])

    def _on_the_way(self, verdict: str) -> Iterator[str]:
        """Further sentences: what someone did to it in the queue before, and who read it."""
        for kind, name in (("queue.release", "RELEASED"), ("queue.redirect", "REDIRECTED")):
            event = self._last(kind)
            if event is not None:
                self.facts["was"] = str(event["fields"].get("was", "-"))
                self._take(event)
                yield self._fill(self.words.verdicts[name][self.words.language])
        if self.read is not None and verdict != "READ":
            self._take_reading("read")
            yield self._fill(self.words.verdicts["READ_BEFORE"][self.words.language])
        again = self.document.get("returned", {}).get(self.recipient["address"], "")
        if again:
            self.facts["again"] = again
            yield self._fill(self.words.verdicts["CAME_AGAIN"][self.words.language])

    def _cause(self, name: str) -> Cause | None:
        fields: Document = {}
        who = "ours" if name in _OURS else "remote"
        kinds = {
            "REJECTED": ("smtp.reject",),
            "NETWORK_DENIED": ("smtp.reject",),
            "TRY_LATER": ("smtp.tempfail",),
            "GREYLISTED_NO_RETURN": ("smtp.tempfail",),
            "REMOTE_LOST": ("dsn.got",),
        }.get(name, ("out.failed", "out.deferred"))
        event = self._last(*kinds)
        if event is not None:
            self._take(event)
            fields = event["fields"]
        one = self.recipient
        says = " ".join(
            filter(
                None,
                (fields.get("reply", one["reply"]), fields.get("why"), fields.get("diagnostic")),
            )
        )
        code = fields.get("code", one["code"]) or 0
        enh = fields.get("enh", one["enhanced"]) or ""
        if name == "REMOTE_LOST":
            return self.words.cause(causes.reported(code, enh, says))
        stage, check = fields.get("stage", ""), fields.get("check", "")
        return self.words.cause(Refused(who, stage, check, code, enh, says))

    # ---------------------------------------------------------------- its events

    def _own(self, *kinds: str) -> Iterator[Document]:
        """Events of these kinds about this recipient, or about the message as a whole."""
        n = self.recipient["n"]
        address = self.recipient["address"]
        for event in self.events:
            if event["kind"] not in kinds or event["trace"] != self.document["trace"]:
                continue
            if event["kind"] in _REFUSALS and not _concerns(event, address):
                continue  # another recipient's, who has no number either
            its = event["fields"].get("n", 0)
            if its in (0, n) or (event["fields"].get("addr") == address and address):
                yield event

    def _last(
        self, *kinds: str, only: Callable[[Document], bool] = lambda event: True
    ) -> Document | None:
        found = [event for event in self._own(*kinds) if only(event)]
        return found[-1] if found else None

    def _take(self, event: Document | None) -> None:
        """Take an event's words into the facts."""
        if event is None:
            return
        fields = event["fields"]
        for name in ("host", "reply", "stage", "why"):
            if fields.get(name):
                self.facts[name] = str(fields[name])
        self.facts["when"] = self._when(event["at"])
        self.facts["who"] = _who(fields, self.words.language)

    def _evidence(self) -> Iterator[str]:
        """The events that the verdict rests on, one line each."""
        n, address = self.recipient["n"], self.recipient["address"]
        st = self.recipient["stored"]
        lines = [
            f"{self._when(event['at'])}  {event['kind']:<14} {safe(_line(event))}"
            for event in self.events
            if event["kind"] not in _REFUSALS or _concerns(event, address)
            if event["outcome"] != "info" or event["kind"].startswith(("queue.", "dsn.", "route."))
            if event["fields"].get("n", 0) in (0, n) or st in aftermath.copies(event)
        ]
        if len(lines) > MAX_EVIDENCE:
            half = MAX_EVIDENCE // 2
            lines = [*lines[:half], f"... {len(lines) - 2 * half} more ...", *lines[-half:]]
        yield from lines

    # --------------------------------------------------------------------- words

    def _when(self, text: str) -> str:
        return clock(text, self.zone) if text else "-"

    def _fill(self, text: str) -> str:
        return safe(text.format_map(_Facts(self.facts)))

    def _does(self, words: Words) -> Iterator[str]:
        text = words.get(f"do_{self.words.language}")
        if text:
            yield self._fill(text)


def clock(text: str, zone: tzinfo | None) -> str:
    """A document's time in a zone (None: local), to the second, with the zone's offset."""
    return datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %z")


def _concerns(refusal: Document, address: str) -> bool:
    """Whether a refusal is that of a recipient, or of the whole message."""
    said = str(refusal["fields"].get("addr", ""))
    return not said or not address or said.lower() == address.lower()


def _ended(sentence: str) -> str:
    """A sentence that another one may follow; a server's own words may have no end."""
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


class _Facts(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "-"


def _line(event: Document) -> str:
    reply = event["fields"].get("reply", "")
    text = str(event["text"])
    return f"{text} - {reply}" if reply and reply not in text else text


def _who(fields: Document, language: str) -> str:
    actor, _, name = str(fields.get("actor", "system")).partition(":")
    said = _ACTORS[language].get(actor, actor)
    used = str(fields.get("client", ""))
    software, _, client = used.rpartition(" from ")
    ip = client if software else fields.get("ip", "") if actor == "user" else ""
    used = ", ".join(filter(None, (software or used, ip and _FROM[language].format(ip))))
    return f"{said} {name}".strip() + (f" ({used})" if used else "")


_FROM = {"en": "from {}", "ru": "с адреса {}"}
_ACTORS: dict[str, dict[str, str]] = {
    "en": {
        "user": "user",
        "admin": "administrator",
        "system": "the server",
        "remote": "the client",
        "rule": "the rule",
        "backup": "a restore",
        "outside": "a program that is not ours",
    },
    "ru": {
        "user": "пользователь",
        "admin": "администратор",
        "system": "сервер",
        "remote": "клиент",
        "rule": "правило",
        "backup": "восстановление",
        "outside": "посторонняя программа",
    },
}


def as_document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON shows it."""
    return {
        "n": verdict.n,
        "recipient": verdict.addr,
        "verdict": verdict.verdict,
        "cause": verdict.cause,
        "sentence": verdict.sentence,
        "evidence": list(verdict.evidence),
        "actions": list(verdict.actions),
    }
