"""Filters with a name: kept in one file, the same for every question, mistakes told at the name."""

import json
import os
from pathlib import Path

import pytest

from mtad.errors import Corrupt, NothingFound, UsageError
from tests.test_tracing_cli import Place, place, run  # noqa: F401 - a fixture
from tests.tracing_events import AT
from tracing import saved, search, views
from tracing.following import Filter
from tracing.terms import Group, conjunctions


@pytest.mark.parametrize("name", views.BUILT_IN)
def test_every_view_that_is_always_there_can_be_read(name: str) -> None:
    (term,) = search.parse(f"@{name}", AT).terms
    assert isinstance(term.matcher, Group)
    assert search.parse(f"!@{name.upper()} from:a", AT).terms[0].negated


def test_a_view_is_the_filter_it_stands_for() -> None:
    known = {"boss": "from:boss@x.org", "both": "@boss | @late", "late": "since:2d state:deferred"}
    whole = search.parse("subj:plan @both", AT, views=known)
    same = search.parse("subj:plan ((from:boss@x.org) | (state:deferred since:2d))", AT)
    assert meaning(whole) == meaning(same)
    quoted = search.parse('"@x.org" @x.org', AT, views=known)
    assert not any(isinstance(term.matcher, Group) for term in quoted.terms)


def meaning(query: search.Query) -> list[set[object]]:
    """The conditions of each way to meet a query."""
    return [{(t.matcher, t.negated) for t in way.terms} for way in conjunctions(query)]


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("from:a @failure", 7, "did you mean @failures?"),
        ("@zzzzzz", 0, "'mtad trace --views' lists them; a domain is domain:zzzzzz"),
        ("a @round", 2, "leads back to itself"),
        ("a b @wrong", 4, "in the view @wrong: there is no field form:"),
        ("@many", 0, "at most 256 terms"),
    ],
)
def test_mistakes_are_told_at_the_name(text: str, at: int, says: str) -> None:
    known = {
        **views.BUILT_IN,
        "round": "@square",
        "square": "x | @round",
        "wrong": "form:a",
        "many": " ".join(["@some"] * 20),
        "some": " ".join(["a"] * 20),
    }
    with pytest.raises(search.SearchError) as raised:
        search.parse(text, AT, views=known)
    assert says in str(raised.value)
    assert raised.value.position == at
    assert raised.value.text == text


def test_views_are_kept_listed_and_taken_away(
    place: Place,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    def mtad(*words: str) -> tuple[int, str, str]:
        return run(place, capsys, "trace", *words)

    assert mtad("--save", "Figures", "subj:figures", "from:sender@")[0] == 0
    assert mtad("--save", "@срочно", "@figures", "since:1h")[0] == 0
    code, out, _ = mtad("@срочно", "--json")
    assert code == 0
    assert [one["subject"] for one in json.loads(out)["messages"]] == ["first figures"]
    wanted = Filter(place.log, "@figures")
    assert wanted.takes(place.mails[0].accept()[0])
    assert not wanted.takes(place.mails[1].accept()[0])
    wanted.close()
    assert run(place, capsys, "why", "@figures")[1].count("first figures") == 1
    assert run(place, capsys, "log", "export", "@figures")[0] == 0
    code, out, _ = mtad("--views")
    assert "@figures          subj:figures from:sender@\n" in out
    assert "@failures         state:failed\n" in out
    listed = json.loads(mtad("--views", "--json")[1])["views"]
    assert {"name": "figures", "filter": "subj:figures from:sender@", "built_in": False} in listed
    for words, status, says in (
        (("--save", "today", "x"), 2, "always there"),
        (("--save", "a b", "x"), 2, "is no name"),
        (("--save", "empty"), 2, "what the view stands for"),
        (("--save", "bad", "from:a", "state:sold"), 2, "there is no state sold"),
        (("--save", "me", "@me"), 2, "leads back to itself"),
        (("--forget", "nothing"), 4, "there is no view @nothing"),
        (("--forget", "today"), 2, "always there"),
        ((), 2, "say which messages"),
    ):
        code, out, err = mtad(*words)
        assert (code, out) == (status, ""), words
        assert says in err
    assert mtad("--forget", "@figures")[0] == 0
    code, _, err = mtad("@срочно")
    assert code == 2
    assert "in the view @срочно: there is no view @figures" in err


def test_a_file_that_is_none_is_told_of_and_a_write_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.save(tmp_path, "a", "from:a")
    before = (tmp_path / saved.FILE).read_bytes()

    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        saved.save(tmp_path, "b", "from:b")
    monkeypatch.undo()
    assert (tmp_path / saved.FILE).read_bytes() == before
    assert saved.own(tmp_path) == {"a": "from:a"}
    for damage in (b"{", b"[]", b'{"views": {"a": 1}}', b"\xff"):
        (tmp_path / saved.FILE).write_bytes(damage)
        with pytest.raises(Corrupt, match="delete it"):
            saved.parse(tmp_path, "@a")
        saved.parse(tmp_path, "from:a")  # a query without views does not need it
    with pytest.raises(Corrupt):
        saved.forget(tmp_path, "a")
    (tmp_path / saved.FILE).unlink()
    with pytest.raises(NothingFound):
        saved.forget(tmp_path, "a")
    many = {f"v{number}": "a" for number in range(views.MAX_VIEWS)}
    (tmp_path / saved.FILE).write_text(json.dumps({"schema": 1, "views": many}))
    with pytest.raises(UsageError, match="200 views"):
        saved.save(tmp_path, "more", "a")
    saved.save(tmp_path, "v7", "b")
    assert saved.own(tmp_path)["v7"] == "b"
    with pytest.raises(UsageError, match="no name"):
        saved.save(tmp_path, "../x", "a")
