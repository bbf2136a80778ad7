"""What a session knows of its mailbox, against a client that believes what it is told."""

from collections.abc import Collection, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.imap import selected as module
from mtad.imap.answer import Bad
from mtad.imap.commands import NumberSet
from mtad.imap.place import Place
from mtad.imap.selected import Selected
from mtad.store.box import Box
from mtad.store.deltas import Delta
from mtad.store.rows import MailboxRow, Row
from mtad.store.view import View


class Mailbox:
    """A mailbox that a test changes as the store would."""

    def __init__(self, *uids: int) -> None:
        self.row = MailboxRow(1, "INBOX", "", 1, 1, 1, 1, 1, None, None)
        self.view = View(self.row, ())
        self.sessions: list[Selected] = []
        self.change(added=uids)

    def change(
        self,
        *,
        added: Sequence[int] = (),
        changed: Sequence[int] = (),
        gone: Collection[int] = (),
    ) -> None:
        modseq = self.view.highestmodseq + 1
        delta = Delta(1, "INBOX")
        delta.added += [row(uid, modseq) for uid in added]
        delta.changed += [row(uid, modseq) for uid in changed]
        delta.gone += gone
        delta.uidnext = max((self.view.uidnext, *(uid + 1 for uid in added)))
        delta.modseq = modseq
        _, flagged, left = self.view.apply(delta)
        for selected in self.sessions:
            selected.heard(flagged, left, modseq)

    def arrive(self) -> None:
        self.change(added=[self.view.uidnext])


def row(uid: int, modseq: int) -> Row:
    return Row(1, uid, str(uid), 0, str(uid), uid, 0, uid, "", "", modseq, 0, 0, 1, None, 1)


def session(mailbox: Mailbox) -> Selected:
    made = Selected(mailbox.view, Place(cast("Box", None), "INBOX"))
    mailbox.sessions.append(made)
    return made


Acts = st.lists(
    st.tuples(st.sampled_from(["arrive", "gone", "flag", "tell", "tell numbered"]), st.integers(0)),
    max_size=60,
)


@given(st.integers(0, 6), Acts, st.sampled_from([0, 3, 1000]))
def test_a_client_that_believes_everything_is_right(
    count: int, acts: list[tuple[str, int]], limit: int
) -> None:
    mailbox = Mailbox(*range(1, count + 1))
    view = mailbox.view
    ours, other = session(mailbox), session(mailbox)
    client = list(view.uids)
    stale: set[int] = set()
    before, module.MAX_CHANGES = module.MAX_CHANGES, limit
    try:
        for act, number in [*acts, ("tell", 0)]:
            at = number % len(view) if len(view) else 0
            if act == "arrive":
                mailbox.arrive()
            elif act == "gone" and len(view):
                mailbox.change(gone={view.uids[at], view.uids[-1 - number % 2 * at]})
            elif act == "flag" and len(view):
                # What was not told yet is read when it is.
                stale |= {view.uids[at]} & set(client)
                mailbox.change(changed=[view.uids[at]])
            elif act.startswith("tell"):
                news = ours.news(expunges=act == "tell")
                for position, uid in news.gone:
                    assert client.pop(position - 1) == uid
                if news.exists is not None:
                    assert news.exists > len(client)
                    client += ours.uids[len(client) : news.exists]
                stale -= set(news.flagged)
                assert set(news.flagged) <= set(client)
            assert client == list(ours.uids[: ours.exists])
            assert [ours.number(uid) for uid in client] == list(range(1, len(client) + 1))
        assert client == list(view.uids)
        assert not stale & set(client)
        assert not ours.has_news()
        other.news(expunges=True)
        assert list(other.uids) == client
    finally:
        module.MAX_CHANGES = before


@pytest.mark.parametrize(
    ("ranges", "by_uid", "found"),
    [
        ([(1, 1)], False, [10]),
        ([(2, 0)], False, [20, 30]),
        ([(0, 2)], False, [20, 30]),
        ([(0, 0)], False, [30]),
        ([(3, 3), (1, 2), (2, 3)], False, [10, 20, 30]),
        ([(10, 20)], True, [10, 20]),
        ([(20, 10)], True, [10, 20]),
        ([(11, 19)], True, []),
        ([(31, 0)], True, [30]),
        ([(0, 0)], True, [30]),
        ([(1, 4294967295)], True, [10, 20, 30]),
        ([(25, 40), (1, 15)], True, [10, 30]),
    ],
)
def test_sets_of_numbers(ranges: list[tuple[int, int]], by_uid: bool, found: list[int]) -> None:
    assert session(Mailbox(10, 20, 30)).resolve(NumberSet(tuple(ranges)), by_uid) == found


@pytest.mark.parametrize("wrong", [(4, 4), (1, 4), (4, 0)])
def test_a_number_that_is_not_in_use_is_bad(wrong: tuple[int, int]) -> None:
    with pytest.raises(Bad):
        session(Mailbox(1, 2, 3)).resolve(NumberSet((wrong,)), False)


def test_an_empty_mailbox_has_no_last_message() -> None:
    with pytest.raises(Bad):
        session(Mailbox()).resolve(NumberSet(((1, 0),)), False)
    assert session(Mailbox()).resolve(NumberSet(((1, 0),)), True) == []


def test_a_saved_result_loses_what_is_gone() -> None:
    mailbox = Mailbox(1, 2, 3, 4, 5)
    ours = session(mailbox)
    ours.saved = [2, 3, 5]
    mailbox.change(gone=(3,))
    assert ours.resolve(NumberSet(saved=True), False) == [2, 3, 5]
    ours.news(expunges=True)
    assert ours.resolve(NumberSet(saved=True), False) == [2, 5]
