"""Sockets to listen on: bound once, named in errors, left behind by nobody."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from mtad import sockets
from mtad.config import Listen, Loaded
from mtad.errors import MtadError, Unreachable


def listening(site: Loaded, **endpoints: tuple[str, ...]) -> Loaded:
    config = site.config.model_copy(update={"listen": Listen.model_validate(endpoints)})
    return replace(site, config=config)


def test_a_unix_socket_beside_the_settings(site: Loaded) -> None:
    loaded = listening(site, smtp=(), lmtp=("./lmtp",))
    path = site.path.resolve().parent / "lmtp"
    bound = sockets.bind_paths(loaded, ("smtp", "lmtp"))
    assert list(bound) == ["lmtp"]
    assert sockets.place(bound["lmtp"][0]) == str(path)
    assert path.stat().st_mode & 0o777 == sockets.EVERYBODY
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    with pytest.raises(MtadError, match="another program listens there"):
        sockets.bind_paths(loaded, ("lmtp",))
    assert path.exists()
    sockets.forget(bound)
    assert not path.exists()


def test_what_a_crash_left_is_taken_away(site: Loaded) -> None:
    loaded = listening(site, lmtp=("./lmtp",))
    for link in sockets.bind_paths(loaded, ("lmtp",))["lmtp"]:
        link.close()
    sockets.forget(sockets.bind_paths(loaded, ("lmtp",)))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("./file", "no socket"),
        ("./no/folder", "No such file"),
        ("./" + "x" * 120, "path too long"),
        ("/dev/null", "no socket"),
    ],
)
def test_a_path_that_cannot_be_used(site: Loaded, path: str, why: str) -> None:
    (site.path.resolve().parent / "file").write_text("precious")
    with pytest.raises(MtadError, match=rf"cannot listen on .*{why}.*change listen\.lmtp"):
        sockets.bind_paths(listening(site, lmtp=(path,)), ("lmtp",))
    assert (site.path.resolve().parent / "file").read_text() == "precious"


def test_a_port_that_is_taken(site: Loaded) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = sockets.place(other)
        with pytest.raises(Unreachable, match=rf"cannot listen on {place} \(lmtp\)"):
            sockets.bind_ports(listening(site, lmtp=(place,)), ("lmtp",))


def test_paths_are_for_lmtp_alone(tmp_path: Path) -> None:
    assert Listen(lmtp=("/run/x", "run/y", "[::1]:24")).lmtp
    for endpoints in ({"smtp": ("/run/x",)}, {"lmtp": ("x",)}, {"lmtp": ("/run/\0",)}):
        with pytest.raises(ValueError, match="is not ADDRESS:PORT"):
            Listen.model_validate(endpoints)
