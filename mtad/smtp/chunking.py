"""BDAT: a message in chunks whose size is said first (RFC 3030).

The octets of a chunk are never commands: those of a refused one are read and forgotten before
the refusal is said. With the last chunk the message goes the way of one that came by DATA.
"""

# ruff: noqa: N802 - a method's name is its verb, as SMTP writes it.

from mtad.errors import Refusal
from mtad.smtp import command
from mtad.smtp.data import ChunkReader
from mtad.smtp.mailing import Mailing
from mtad.smtp.policy import Transaction
from mtad.smtp.session import SEQUENCE
from mtad.smtp.wire import Gone


class Chunking(Mailing):
    """The command of a mail transaction that brings the message in chunks."""

    async def smtp_BDAT(self, argument: bytes) -> None:
        """RFC 3030 2: a part of the message; after the last it is ours, or refused."""
        chunk = command.bdat(argument)
        transaction = self._transaction
        if transaction is None or not transaction.recipients:
            await self._forget(chunk.size)
            if transaction is None:
                raise Refusal(503, SEQUENCE, "say MAIL first")
            raise self.no_recipients
        if not chunk.size and not chunk.last:
            self._count_idle()
        reader = self._chunks
        if reader is None:
            reader = self._chunks = ChunkReader(self._limits.max_message_bytes)
        self._is_reading = True
        reader.begin(chunk.size)
        try:
            await self._read_chunk(reader, chunk.size)
        finally:
            self._received = reader.received
        if chunk.last:
            reader.end()
        elif not reader.dropped:
            await self.push(f"250 2.0.0 {chunk.size} octets received")
            return
        self._is_reading = False
        try:
            if chunk.last:
                await self._end_of_message(transaction, reader)
            else:
                await self._give_up(transaction, reader)
        finally:
            self._end_chunks()

    async def _give_up(self, transaction: Transaction, reader: ChunkReader) -> None:
        """Refuse a message before its last chunk: this answers the one that was too much."""
        flaw = self._flaw(transaction, reader)
        assert flaw is not None, "the reader dropped it"
        await self._refuse(flaw[1], check=flaw[0])
        self._transaction = None

    async def _read_chunk(self, reader: ChunkReader, size: int) -> None:
        """Read one chunk, memory of all sessions together bounded."""

        def sink(octets: bytes) -> bytes | None:
            rest = reader.feed(octets)
            self._bound(reader)
            return rest

        if size:
            await self._drink(sink)
        if self.is_lost:
            # It will send the message again: taking it now would make two of it.
            raise Gone("lost")

    async def _forget(self, size: int) -> None:
        """Read a chunk that belongs to no message."""
        reader = ChunkReader(0)
        reader.drop()
        reader.begin(size)
        try:
            await self._read_chunk(reader, size)
        finally:
            self._hold(0)
