"""The mail that other tests run on is what it says it is."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests import mails
from tests.corpus import Mail, messages, split_mbox


def test_an_mbox_is_split_before_from_lines_only_after_a_blank_line() -> None:
    data = b"From a 2020\nX: 1\n\nFrom here\nit goes\n\nFrom b 2021\r\nX: 2\r\n\r\nend\r\n\r\n"
    assert split_mbox(data) == [b"X: 1\n", b"it goes\n", b"X: 2\r\n\r\nend\r\n"]
    quoted = b"From a 2020\nX: 1\n\n>From me\ntext From you\nFrom us\n\n"
    assert split_mbox(quoted) == [b"X: 1\n\n>From me\ntext From you\nFrom us\n"]


def test_real_mail_is_whole(corpus: Sequence[Mail], shared_data: Callable[[str], Path]) -> None:
    shared_data("corpus")
    assert len(corpus) == 5307
    assert len({mail.path for mail in corpus}) == 5307
    assert max(len(mail.data) for mail in corpus) > 2_900_000


def test_no_archives_is_no_error(tmp_path: Path) -> None:
    assert list(messages(tmp_path)) == []


def test_mails_of_our_own_are_the_same_each_time() -> None:
    first, second = mails.ours(), mails.ours()
    assert first == second
    assert len({mail.path for mail in first}) == len(first) > 30
    assert any("Счёт".encode("koi8-r") in mail.data for mail in first)
