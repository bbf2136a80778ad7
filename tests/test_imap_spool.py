"""Messages in files while they arrive."""

from pathlib import Path

import pytest

from mtad.errors import MtadError
from mtad.imap.handlers import table
from mtad.imap.session import State
from mtad.imap.spool import Spool
from tests.imap import serving


async def test_octets_are_in_the_file_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x"
    spool = Spool(lambda: path)
    for piece in (b"one ", b"two ", b"three"):
        spool.write(piece)
        assert spool.held
        await spool.flush()
        assert not spool.held
    assert spool.size == 13
    assert spool.path() == str(path)
    assert path.read_bytes() == b"one two three"
    assert path.stat().st_mode & 0o777 == 0o600
    await spool.remove()
    assert not path.exists()
    await spool.remove()


@pytest.mark.parametrize("name", ["none/x", "there"])
async def test_what_cannot_be_written_is_told_when_it_is_used(name: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"another's")
    spool = Spool(lambda: tmp_path / name)
    spool.write(b"data")
    await spool.flush()
    spool.write(b"more")
    await spool.flush()
    with pytest.raises(MtadError):
        spool.path()
    await spool.remove()
    assert (tmp_path / "there").read_bytes() == b"another's"


async def test_what_no_handler_took_is_gone_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    async def looks(session: object, command: object) -> None:
        files = list((running.folder() / "Maildir" / "tmp").iterdir())
        seen.extend(file.stat().st_size for file in files)

    monkeypatch.setitem(table.TABLE, "APPEND", table.Entry(looks, State.AUTHENTICATED))
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("APPEND INBOX {}", "x" * 700_000)
        assert seen == [700_000]
        assert not list((running.folder() / "Maildir" / "tmp").iterdir())
        await client.send(b"a APPEND INBOX {900000+}\r\n" + b"x" * 800_000)
        client.writer.close()
    assert not list((running.folder() / "Maildir" / "tmp").iterdir())
