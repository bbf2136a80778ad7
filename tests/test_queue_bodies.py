"""Where the queue gets its messages from, and its patience with a log role that was killed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mtad import control
from mtad.errors import NothingFound
from mtad.journal.content import path_of
from mtad.queue.bodies import Bodies, NotReadable
from mtad.where import Places
from tracing import ids

BODY = b"Subject: x\n\nhi\n"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    (tmp_path / "run").mkdir()
    return Places(tmp_path)


async def serve(places: Places, m: int, *, dies: bool = False) -> asyncio.Server:
    """A log role that makes the content file when it is asked."""

    async def content(request: dict[str, Any]) -> dict[str, Any]:
        if dies:
            raise ConnectionResetError
        if request["m"] != m:
            raise NothingFound("there is no content of it")
        path = path_of(places, m)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BODY)
        return {"path": str(path)}

    return await control.serve(places.socket("log"), {"content": content})


async def test_a_log_role_that_comes_back_is_waited_for(places: Places) -> None:
    m = ids.Mint(1).new()
    bodies = Bodies(places, patience_seconds=20)
    server = await serve(places, m, dies=True)
    asked = asyncio.ensure_future(bodies.get(m))
    await asyncio.sleep(0.1)
    server.close()
    await asyncio.sleep(0.1)
    assert not asked.done()
    server = await serve(places, m)
    assert await asked == BODY
    with pytest.raises(NotReadable, match="no content"):
        await bodies.get(m + 1)
    server.close()


@pytest.mark.parametrize("dies", [True, False])
async def test_patience_has_an_end(places: Places, dies: bool) -> None:
    server = await serve(places, 1, dies=True) if dies else None
    with pytest.raises(NotReadable, match="log role went away" if dies else "does not answer"):
        await Bodies(places, patience_seconds=0).get(2)
    if server is not None:
        server.close()
