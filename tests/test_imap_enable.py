"""ENABLE, COMPRESS, NAMESPACE."""

import zlib
from pathlib import Path

import pytest

from tests.imap import serving


async def test_enable_tells_what_it_switched_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        assert await client.ok("ENABLE CONDSTORE X-GOOD-IDEA") == ["* ENABLED CONDSTORE"]
        assert await client.ok("ENABLE condstore") == ["* ENABLED"]
        assert await client.ok("ENABLE imap4rev2 qresync") == ["* ENABLED IMAP4rev2 QRESYNC"]
        await client.ok("SELECT INBOX")
        assert (await client.no("ENABLE UTF8=ACCEPT")).startswith("BAD ")


async def test_enable_needs_a_login(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.connect() as client:
        await client.line()
        assert (await client.no("ENABLE CONDSTORE")).startswith("BAD ")


async def test_condstore_tells_the_highest_modseq(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client("SELECT INBOX") as client:
        enabled, highest = await client.ok("ENABLE CONDSTORE")
        assert enabled == "* ENABLED CONDSTORE"
        assert highest.startswith("* OK [HIGHESTMODSEQ ")


@pytest.mark.parametrize("size", [1, 10_000])
async def test_compress_both_ways(size: int, tmp_path: Path) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    unpack = zlib.decompressobj(-15)
    heard = b""
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("COMPRESS DEFLATE")
        said = b"".join(b"p%d NOOP\r\n" % number for number in range(200)) + b"c CAPABILITY\r\n"
        packed = pack.compress(said) + pack.flush(zlib.Z_SYNC_FLUSH)
        for start in range(0, len(packed), size):
            await client.send(packed[start : start + size])
        while b"\r\nc OK" not in heard:
            heard += unpack.decompress(await client.reader.read(65536))
        assert heard.count(b" OK NOOP completed\r\n") == 200
        assert b"COMPRESS=DEFLATE" not in heard
        again = b"d COMPRESS DEFLATE\r\ne LOGOUT\r\n"
        await client.send(pack.compress(again) + pack.flush(zlib.Z_SYNC_FLUSH))
        rest = unpack.decompress(await client.reader.read())
        assert rest.startswith(b"d NO [COMPRESSIONACTIVE] ")
        assert rest.endswith(b"e OK LOGOUT completed\r\n")


async def test_a_bomb_is_read_in_pieces(tmp_path: Path) -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("COMPRESS DEFLATE")
        packed = pack.compress(b"x" * 50_000_000) + pack.flush(zlib.Z_SYNC_FLUSH)
        await client.send(packed + pack.compress(b"\r\nz NOOP\r\n") + pack.flush(2))
        heard, unpack = b"", zlib.decompressobj(-15)
        while b"z OK" not in heard:
            data = await client.reader.read(65536)
            assert data
            heard += unpack.decompress(data)
        assert b" BAD " in heard


async def test_what_is_no_deflate_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        await client.ok("COMPRESS DEFLATE")
        await client.send(b"\xff" * 100)
        assert await client.reader.read() == b""


async def test_compress_knows_one_algorithm(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        assert (await client.no("COMPRESS ZSTD")).startswith("BAD ")
        await client.ok("NOOP")


async def test_namespace(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        assert await client.ok("NAMESPACE") == [
            '* NAMESPACE (("" "/")) (("Other Users/" "/")) (("Shared/" "/"))'
        ]
