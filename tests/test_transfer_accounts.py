"""Mail of other servers: a real Dovecot, mtad itself, one that lies; trees and lists of boxes."""

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from imapclient import IMAPClient

from mtad.config import Loaded
from mtad.errors import Exit, UsageError
from mtad.store.client import Boxes
from mtad.transfer import accounts, boxtree, imap_source, remote
from mtad.transfer.remembered import Remembered
from mtad.transfer.remote import Pace
from tests import mails
from tests.server import Server, until
from tests.test_smtp_interop import program
from tests.test_transfer_import import ANNA, Run, loaded, make_maildir, raws, run, state

__all__ = ["loaded", "run"]  # fixtures
CONF = """
base_dir = {root}/run
state_dir = {root}/run
log_path = {root}/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{root}/mail/%n
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
last_valid_uid = 0
default_internal_user = {name}
default_login_user = {name}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={root}/mail/%n allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "Sent Items" {{
    special_use = \\Sent
    auto = create
  }}
  mailbox Starred {{
    special_use = \\Flagged
    auto = create
  }}
}}
"""


class Dovecot:
    """A Dovecot on a port of its own, started below a folder."""

    def __init__(self, folder: Path) -> None:
        self._binary = program("dovecot")
        if os.getuid() != 0:
            pytest.skip("Dovecot wants to be started by root")
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for part in (self.folder, *self.folder.parents):
            if part.stat().st_uid == 0 and part != Path("/") and not part.stat().st_mode & 1:
                part.chmod(part.stat().st_mode | 0o011)
        (self.folder / "run").mkdir(exist_ok=True)
        (self.folder / "mail").mkdir(exist_ok=True)
        for path in (self.folder / "mail", *(self.folder / "mail").rglob("*")):
            os.chown(path, 8, 8, follow_symlinks=False)
        conf = self.folder / "conf"
        conf.write_text(
            CONF.format(root=self.folder, user=8, group=8, name="dovecot", port=self.port)
        )
        self._process = subprocess.Popen([self._binary, "-F", "-c", str(conf)])
        until(self.answers, 30, "Dovecot to answer")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2):
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def client(self, user: str = "anna") -> IMAPClient:
        client = IMAPClient("127.0.0.1", self.port, ssl=False)
        client.login(user, "secret")
        return client

    def account(self, user: str = "anna", folder: str = "") -> str:
        return f"imap://{user}@127.0.0.1:{self.port}/{folder}"


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    with tempfile.TemporaryDirectory(prefix="mtad-") as folder:  # its sockets want a short path
        made = Dovecot(Path(folder))
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remote.PASSWORD, "secret")
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0.02)


def whole_seconds(found: dict[Any, tuple[str, tuple[str, ...], int]]) -> dict[Any, Any]:
    """IMAP's dates have no more."""
    return {key: (a, b, at // 10**9) for key, (a, b, at) in found.items()}


def as_sent(expected: dict[Any, Any]) -> dict[Any, Any]:
    """A server sends CRLF, and Dovecot no NUL, which IMAP cannot say."""
    return {
        (name, raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").replace(b"\0", b"\x80")): what
        for (name, raw), what in whole_seconds(expected).items()
    }


@pytest.mark.interop
def test_all_mail_of_a_dovecot_comes_once_with_its_numbers(
    loaded: Loaded, run: Run, dovecot: Dovecot
) -> None:
    expected = make_maildir(dovecot.folder / "mail" / "anna")
    for trap in (".trap", "cur/trap:2,S"):  # which Dovecot would follow
        (dovecot.folder / "mail" / "anna" / trap).unlink()
    dovecot.start()
    with dovecot.client() as client:
        client.append("Sent Items", mails.plain("sent"), ["\\Seen"])
        client.append("Starred", mails.plain("starred"))
    line = ("mail", "import", "--box", ANNA, dovecot.account())
    planned = run(*line, "--dry-run")
    done = run(*line)
    assert done["failed"] == []
    assert planned["mailboxes"] == done["mailboxes"]
    found = state(loaded)
    assert found.pop(("Sent", mails.plain("sent")))[0] == "S"
    assert whole_seconds(found) == as_sent(expected)
    with Boxes(loaded) as boxes:
        listed = boxes.list(ANNA)
        numbers = {one.name: one.uidvalidity for one in listed.mailboxes}
        assert (numbers["INBOX"], numbers["Archive/2024"], numbers["Вход"]) == (170, 171, 172)
        assert [m.uid for m in listed.messages if m.mailbox == "Вход"] == [*range(5, 75, 10)]
        boxes.expunge(ANNA, "Вход", [5, 15], actor=ANNA)
    assert run(*line)["imported"] == 0
    with dovecot.client() as client:
        client.append("INBOX", mails.plain("later"), ["\\Answered", "urgent"])
    again = run(*line)
    assert (again["imported"], again["skipped"]) == (1, 0)
    with Boxes(loaded) as boxes:
        last = boxes.list(ANNA, "INBOX").messages[-1]
    assert (last.flags, last.keywords, last.uid >= 900) == ("R", ("urgent",), True)


@pytest.mark.interop
def test_what_is_remembered_may_be_lost(loaded: Loaded, run: Run, dovecot: Dovecot) -> None:
    make_maildir(dovecot.folder / "mail" / "anna")
    dovecot.start()
    line = ("mail", "import", "--box", ANNA, dovecot.account(folder="Archive/2024"))
    assert run(*line, "--folder", "Old")["mailboxes"] == {"Old": 7}
    for path in loaded.places.boxes.rglob("imported-*.json"):
        path.write_text('{"mailboxes": [')
    assert run(*line, "--folder", "Old")["imported"] == 0
    assert run("mail", "import", "--box", ANNA, dovecot.account(folder="Nope"), code=4)


@pytest.mark.interop
def test_a_connection_that_breaks_is_made_again(
    loaded: Loaded, run: Run, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large message comes in parts, over connections that end in the middle of it."""
    monkeypatch.setattr(imap_source, "PIECE", 100_000)
    monkeypatch.setattr(imap_source, "TOLD", 2)
    dovecot.start()
    monster = b"Subject: monster\r\n\r\n" + b"0123456789abcdef\r\n" * 60_000
    with dovecot.client() as client:
        for number in range(5):
            client.append("INBOX", mails.plain(str(number)))
        client.append("INBOX", monster)
    fetch = IMAPClient.fetch
    calls = 0

    def breaking(self: IMAPClient, *args: Any, **words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            self.socket().shutdown(socket.SHUT_RDWR)
        return fetch(self, *args, **words)

    monkeypatch.setattr(IMAPClient, "fetch", breaking)
    done = run("mail", "import", "--box", ANNA, dovecot.account())
    assert (done["imported"], done["failed"], calls > 15) == (6, [], True)
    assert ("INBOX", monster) in state(loaded)


@pytest.mark.interop
def test_a_wrong_password_and_no_server_are_told(
    loaded: Loaded, run: Run, dovecot: Dovecot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ("mail", "import", "--box", ANNA, dovecot.account())
    assert "refused" in run(*line, code=Exit.UNREACHABLE)["error"].lower()
    dovecot.start()
    (tmp_path / "password").write_text("wrong\n")
    said = run(*line, "--password-file", tmp_path / "password", code=Exit.NOT_PERMITTED)
    assert "wrong" not in said["error"]
    monkeypatch.delenv(remote.PASSWORD)
    assert "--password-file" in run(*line, code=Exit.USAGE)["error"]


def test_many_accounts_of_a_list(
    loaded: Loaded, run: Run, dovecot: Dovecot, tmp_path: Path
) -> None:
    dovecot.start()
    for user in ("anna", "boris", "vera"):
        with dovecot.client(user) as client:
            client.append("INBOX", mails.plain(user))
    path = tmp_path / "accounts.csv"
    rows = [f"{user}@alpha.example,{dovecot.account(user)},secret" for user in ("anna", "boris")]
    rows.append(f"vera@alpha.example,{dovecot.account('vera')},wrong")
    path.write_text("box,source,password\n" + "\n".join(rows) + "\n")
    done = run("mail", "import", "--accounts", path, "--at-once", 3, code=Exit.PARTIAL)
    assert [(one["box"], one["imported"]) for one in done["imports"]] == [
        ("anna@alpha.example", 1),
        ("boris@alpha.example", 1),
    ]
    assert [one["box"] for one in done["failed"]] == ["vera@alpha.example"]
    assert "secret" not in str(done)
    journals = b"".join(path.read_bytes() for path in loaded.places.journal.rglob("*.seg"))
    assert b"secret" not in journals


def test_our_own_server_is_one_too(loaded: Loaded, run: Run, tmp_path: Path) -> None:
    with Server(tmp_path / "other") as server:
        server.start()
        made = server.made
        client = IMAPClient("127.0.0.1", made["imap"], ssl=False)
        client.login(made["address"], made["password"])
        client.create_folder("Заказы/2024")
        for number, raw in enumerate(raws().values()):
            if b"\0" not in raw and raw:
                folder = "Заказы/2024" if number % 2 else "INBOX"
                client.append(folder, raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), ["$x"])
        client.logout()
        (tmp_path / "password").write_text(made["password"])
        user = made["address"].replace("@", "%40")
        source = f"imaps://{user}@127.0.0.1:{made['imaps']}"
        line = ("mail", "import", "--box", ANNA, "--password-file", tmp_path / "password", source)
        for words in (
            line,
            (
                *line[:-1],
                source.replace("imaps", "imap").replace(str(made["imaps"]), str(made["imap"])),
            ),
        ):
            assert "certificate" in run(*words, code=Exit.UNREACHABLE)["error"]
        done = run(*line, "--ca-file", server.folder / "tls" / "certificate.pem")
        assert (done["imported"], done["failed"]) == (5, [])
        server.stop()
    assert {words for _, words, _ in state(loaded).values()} == {("$x",)}


class Liar:
    """A server that says what a script has for each command."""

    def __init__(self, *answers: tuple[bytes, bytes]) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._socket.accept()
                with link, contextlib.suppress(OSError):
                    self._talk(link)

    def _talk(self, link: socket.socket) -> None:
        link.sendall(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
        lines = link.makefile("rb")
        for line in lines:
            tag, _, command = line.strip().partition(b" ")
            for begin, answer in self._answers:
                if command.upper().startswith(begin):
                    link.sendall(answer)
                    break
            link.sendall(tag + b" OK done\r\n")

    def close(self) -> None:
        self._socket.close()


LISTED = (b"LIST", b'* LIST () "/" INBOX\r\n* LIST () "/" "../../etc"\r\n')
SELECTED = (
    b"EXAMINE",
    b"* 2 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 9] ok\r\n",
)
NUMBERS = (b"UID SEARCH", b"* SEARCH 3 4294967294\r\n")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"* 1 FETCH (UID 3 BODY[] {99999999999}\r\n", Exit.UNREACHABLE),
        (b"* 1 FETCH (UID 3 BODY[] NIL)\r\n", Exit.PARTIAL),
        (b"* 1 FETCH (UID 77 BODY[] {1}\r\nx)\r\n", Exit.PARTIAL),
        (b"* 1 FETCH (UID 3 BODY[] {5}\r\nA: b\n)\r\n", Exit.PARTIAL),
        (b"* nonsense ((((\r\n", Exit.UNREACHABLE),
    ],
)
def test_a_server_that_lies_is_harmless(loaded: Loaded, run: Run, answer: bytes, code: int) -> None:
    told = (
        b'* 1 FETCH (UID 3 FLAGS (\\Seen \\Recent a{b $ok) INTERNALDATE "99-Foo-2026 0" '
        b"RFC822.SIZE 5)\r\n* 2 FETCH (UID 4294967294 FLAGS () RFC822.SIZE 5)\r\n"
    )
    told = told.replace(b'INTERNALDATE "99-Foo-2026 0" ', b"")
    liar = Liar(
        (b"CAPABILITY", b"* CAPABILITY IMAP4rev1\r\n"),
        LISTED,
        SELECTED,
        NUMBERS,
        (b"UID FETCH 3,4294967294 (FLAGS", told),
        (b"UID FETCH", answer),
    )
    try:
        line = ("mail", "import", "--box", ANNA, f"imap://anna@127.0.0.1:{liar.port}")
        before = time.monotonic()
        done = run(*line, code=code)
        assert time.monotonic() - before < 20
    finally:
        liar.close()
    if code == Exit.PARTIAL:
        assert done["failed"]


# ---------------------------------------------------------------- addresses, lists, trees


def test_addresses_of_accounts() -> None:
    for text, shown in {
        "imaps://anna@mail.example": "imaps://anna@mail.example",
        "imaps://anna@alpha.example@mail.example:994/Sent Items": (
            "imaps://anna@alpha.example@mail.example:994/Sent%20Items"
        ),
        "imap://anna*master@[::1]/%D0%B0": "imap://anna*master@[::1]/%D0%B0",
    }.items():
        assert str(remote.parse(text)) == shown
    assert remote.parse("imaps://a%40b@h").user == "a@b"
    for text in ("imaps://anna:secret@mail.example", "imaps://mail.example", "imaps://a@h:99999"):
        with pytest.raises(UsageError) as raised:
            remote.parse(text)
        assert "secret" not in str(raised.value)
    assert "hidden" not in repr(remote.Account("a", "h", 1, True, secret="hidden"))


def test_lists_of_accounts(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('\ufeffbox,source,password\n\na@b.example,imaps://a@h,"se,c""ret"\n')
    assert accounts.read(path) == [accounts.Row("a@b.example", "imaps://a@h", 'se,c"ret')]
    for text in (
        "",
        "box,source\n",
        "box,passwort,source\nx,y,z\n",
        "box,box,source\nx,y,z\n",
        "box,source\na\n",
        "box,source\na,\n",
        'box,source\na,"b\n',
        "box,source\n\udcff,b\n",
    ):
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(UsageError):
            accounts.read(path)


def test_whose_the_maildirs_of_a_tree_are(tmp_path: Path) -> None:
    for folder in (
        "var/vmail/alpha.example/anna/Maildir",
        "var/vmail/alpha.example/anna/Maildir/.Sent",
        "var/vmail/alpha.example/%d0%b0",
        "var/vmail/vera@beta.example/mail",
        "var/vmail/beta.example/olga/INBOX",
        "var/vmail/beta.example/olga/Work",
        "home/petr/Maildir",
    ):
        for sub in ("cur", "new", "tmp"):
            (tmp_path / folder / sub).mkdir(parents=True)
    (tmp_path / "home" / "loop").symlink_to(tmp_path)
    vmail = tmp_path / "var/vmail"
    found, nobodys = boxtree.boxes(tmp_path)
    assert found == {
        "anna@alpha.example": vmail / "alpha.example/anna/Maildir",
        "olga@beta.example": vmail / "beta.example/olga/INBOX",
        "vera@beta.example": vmail / "vera@beta.example/mail",
        "а@alpha.example": vmail / "alpha.example/%d0%b0",
    }
    assert nobodys == [
        tmp_path / "home/petr/Maildir",
        vmail / "beta.example/olga/Work",
    ]
    assert boxtree.boxes(tmp_path / "home", "gamma.example")[0] == {
        "petr@gamma.example": tmp_path / "home/petr/Maildir"
    }


def test_a_tree_comes_into_its_boxes(loaded: Loaded, run: Run, tmp_path: Path) -> None:
    expected = make_maildir(tmp_path / "restored/var/vmail/alpha.example/anna/Maildir")
    make_maildir(tmp_path / "restored/var/vmail/alpha.example/boris")
    (tmp_path / "restored/srv/petr/cur").mkdir(parents=True)
    line = ("mail", "import", "--tree", tmp_path / "restored")
    done = run(*line, code=Exit.PARTIAL)
    assert [(one["box"], one["imported"]) for one in done["imports"]] == [
        ("anna@alpha.example", 21),
        ("boris@alpha.example", 21),
    ]
    assert len(done["missing"]) == 1
    assert state(loaded) == expected
    assert [one["imported"] for one in run(*line, code=Exit.PARTIAL)["imports"]] == [0, 0]
    for words in (
        ("--tree", tmp_path / "restored", "--box", ANNA),
        ("--accounts", tmp_path / "x", "--box", ANNA),
        ("--tree", tmp_path / "nothing"),
        (),
        (tmp_path,),
        (tmp_path, "--box", ANNA, "--bandwidth", "fast"),
    ):
        run("mail", "import", *words, code=Exit.USAGE)


def test_one_import_into_a_box_at_a_time(loaded: Loaded, run: Run, tmp_path: Path) -> None:
    from mtad.transfer import importing  # noqa: PLC0415 - the lock under test

    (tmp_path / "x.eml").write_bytes(mails.plain())
    folder = loaded.places.boxes / "alpha.example/anna"
    with importing.alone(folder, ANNA):
        run("mail", "import", "--box", ANNA, tmp_path / "x.eml", code=Exit.LOCKED)
    run("mail", "import", "--box", ANNA, tmp_path / "x.eml")


def test_what_is_remembered_is_kept_by_uidvalidity(tmp_path: Path) -> None:
    kept = Remembered(tmp_path, "imaps://a@h")
    kept.uids("INBOX", 5).update((1, 2, 3, 7, 2**32 - 1))
    kept.save()
    again = Remembered(tmp_path, "imaps://a@h")
    assert again.uids("INBOX", 5) == {1, 2, 3, 7, 2**32 - 1}
    assert again.uids("INBOX", 6) == set()
    assert Remembered(tmp_path, "imaps://b@h").uids("INBOX", 5) == set()
    for path in tmp_path.glob("imported-*"):
        path.write_text('{"mailboxes": {"INBOX": [5, "1:99999999999"]}}')
    assert Remembered(tmp_path, "imaps://a@h").uids("INBOX", 5) == set()


def test_the_pace_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("mtad.transfer.remote.time.sleep", slept.append)
    pace = Pace(1000)
    for _ in range(5):
        pace.took(1000)
    assert sum(slept) >= 3
    Pace(0).took(10**12)
    assert len(slept) <= 5
