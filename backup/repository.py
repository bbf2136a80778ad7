"""The snapshot repository: write-once objects in packs, and commits that name them.

Order of writes: packs (each synced and renamed to the hash of its octets), the index segment
that lists them, then the commit file, which alone makes a snapshot. Whatever stops a run
before that leaves octets that nothing refers to; earlier snapshots are never touched.
"""

import contextlib
import dataclasses
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backup import format, keys, retired, scan, split
from backup.cache import Brief, Cache, Place
from backup.format import COMMIT, INDEX, MANIFEST, TEXT, Commit, Damaged, PackEntry
from backup.places import Away, Storage, pack_path
from mtad.clock import from_us
from mtad.errors import Corrupt, MtadError, NothingFound

LEVEL = 3
FRAMES_KEPT = 32 * 2**20
"""Octets of expanded frames kept for the next reader."""

_local = threading.local()


def compress(data: bytes) -> bytes:
    """zstd with its content size declared; one compressor per thread."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
    packed: bytes = _local.compressor.compress(data)
    return packed


def expand(packed: bytes, raw: int) -> bytes:
    """What was compressed, at most ``raw`` octets. Raises Damaged for anything else."""
    try:
        if raw > format.MAX_RAW or zstandard.frame_content_size(packed) != raw:
            raise Damaged("a frame expands to another size than it declares")
        data: bytes = zstandard.ZstdDecompressor().decompress(packed, max_output_size=raw)
    except zstandard.ZstdError as error:
        raise Damaged(f"a frame does not expand: {error}") from None
    if len(data) != raw:
        raise Damaged("a frame expands to another size than it declares")
    return data


def twin(place: Place) -> Place:
    """Where the other copy of a manifest's frame is."""
    apart = format.FRAME.size + place.stored
    offset = place.offset + (-apart if place.number % 2 else apart)
    return dataclasses.replace(place, number=place.number ^ 1, offset=offset)


class Repository:
    """An open repository: reads objects by id, and begins writers. For one thread at a time."""

    expand = staticmethod(expand)

    def __init__(self, folder: Storage, key_file: Path, cache: Path, *, heal: bool = False) -> None:
        """Open it; ``heal`` repairs second copies. Raises NoRepository, NotPermitted, Corrupt."""
        self.folder, self._heal = folder, heal
        opened = keys.unlock(folder, key_file, heal=heal)
        self.id, self.keys, self.notes = opened.repository, opened.keys, opened.notes
        self.cache = Cache(cache / f"repository-{self.id[:16]}.sqlite", f"{self.id} {folder.shown}")
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._frames_bytes = 0
        self._ciphers: dict[str, AESGCM] = {}
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the cache and the place."""
        self.cache.close()
        self.folder.close()

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -------------------------------------------------------------- small files

    def seal_small(self, kind: bytes, data: bytes) -> bytes:
        """A file of one frame: index segments and commits."""
        header, cipher = self.keys.begin(kind, secrets.token_bytes(32))
        return header + format.seal(cipher, header, kind, 0, 0, len(data), compress(data))

    def open_small(self, kind: bytes, data: bytes) -> bytes:
        """What ``seal_small`` sealed. Raises Damaged."""
        header = data[: format.PACK.size]
        frame = data[format.PACK.size :]
        if format.read_header(header)[0] != kind:
            raise Damaged("a file of another kind")
        found, number, count, stored, raw = format.read_frame_header(frame)
        sealed = frame[format.FRAME.size :]
        if (found, number, count, stored) != (kind, 0, 0, len(sealed)):
            raise Damaged("the file's header is not what was written")
        cipher = self.keys.cipher(header)
        return expand(format.unseal(cipher, header, kind, 0, 0, raw, sealed), raw)

    # -------------------------------------------------------------------- index

    def refresh(self) -> None:
        """Bring the cache up to what the repository holds.

        An index segment that is damaged or gone is replaced by the tables of the packs
        themselves.
        """
        names = self.folder.segments()
        if self.cache.segments() - names:
            self.cache.forget()
        known = self.cache.segments()
        doubtful = not known
        for name in sorted(names - known):
            try:
                self.cache.add(name, self.segment(name))
            except Away:
                raise
            except (OSError, Damaged) as error:
                self.notes.append(f"index/{name} is damaged: {error}; using the packs themselves")
                doubtful = True
        if doubtful:
            known = self.cache.packs()
            packs, problems = scan.tables(self, (n for n in self.folder.packs() if n not in known))
            self.cache.add(None, packs)
            self.notes += [f"{path} {why}" for path, why in problems]

    def adopt(self) -> tuple[list[PackEntry], list[tuple[str, str]]]:
        """List the packs durably that no index segment lists.

        They are of runs that were stopped, and then need not be stored again, or their
        segment is damaged or gone. Returns them, and path and reason of those that cannot
        be read. Raises OSError.
        """
        known = self.cache.listed() | self.see_retired()
        packs, problems = scan.tables(self, (n for n in self.folder.packs() if n not in known))
        for pack in packs:
            self.folder.sync_pack(pack.name.hex())
        self.cache.add(None, packs)
        self.write_segment(packs)
        return packs, problems

    def see_retired(self) -> set[str]:
        """The packs that are about to be removed, on which nobody may rely from now on."""
        found = retired.packs(self.folder)
        self.cache.retire(found)
        return found

    def segment(self, name: str) -> list[PackEntry]:
        """The packs an index segment lists. Raises OSError, Damaged."""
        data = self.folder.get(f"index/{name}")
        if hashlib.sha256(data).hexdigest() != name:
            raise Damaged("its octets are not those it is named after")
        return format.decode(self.open_small(INDEX, data), list[PackEntry])

    def write_segment(self, packs: list[PackEntry]) -> None:
        """Make the list of packs durable and known. Raises OSError."""
        if packs:
            data = self.seal_small(INDEX, format.encode(packs))
            name = hashlib.sha256(data).hexdigest()
            self.folder.put(f"index/{name}", data)
            self.cache.add(name, packs)

    def identity(self, kind: bytes, stored: bytes) -> bytes:
        """An object's id; of a message whose bodies are lost, one that nothing has."""
        try:
            if kind == TEXT:
                stored = split.compose(stored, self.objects(split.wanted(stored)))
        except Damaged:
            return bytes(format.ID)
        return self.keys.id_of(kind, hashlib.sha256(stored).digest())

    # ------------------------------------------------------------------ reading

    def cipher(self, place: Place) -> AESGCM:
        """The cipher of the pack that a place is in."""
        if place.pack not in self._ciphers:
            if len(self._ciphers) > 1000:
                self._ciphers.clear()
            header = format.pack_header(place.kind, place.salt)
            self._ciphers[place.pack] = self.keys.cipher(header)
        return self._ciphers[place.pack]

    def frame(self, place: Place) -> bytes:
        """The payload of the frame a place is in. Raises Damaged naming pack and offset."""
        key = (place.pack, place.number)
        if key in self._frames:
            self._frames.move_to_end(key)
            return self._frames[key]
        try:
            sealed = self.folder.read(
                pack_path(place.pack), place.offset + format.FRAME.size, place.stored
            )
            data = self.open_frame(place, sealed)
        except Away:
            raise
        except (OSError, Damaged) as error:
            raise Damaged(f"{pack_path(place.pack)} at octet {place.offset}: {error}") from error
        self._frames[key] = data
        self._frames_bytes += len(data)
        while self._frames_bytes > FRAMES_KEPT and len(self._frames) > 1:
            self._frames_bytes -= len(self._frames.popitem(last=False)[1])
        return data

    def open_frame(self, place: Place, sealed: bytes) -> bytes:
        """Decrypt and expand a frame whose ciphertext is at hand. Raises Damaged."""
        header = format.pack_header(place.kind, place.salt)
        fields = (place.kind, place.number, place.count, place.raw)
        return expand(format.unseal(self.cipher(place), header, *fields, sealed), place.raw)

    def get(self, object_id: bytes) -> bytes:
        """An object as it is stored, from any copy that is readable. Raises Damaged.

        Where there is none, the index is read again: the pack may have been written anew
        since it was looked at.
        """
        tried = self.cache.copies(object_id)
        try:
            return self._any_of(tried, object_id)
        except Damaged:
            self.refresh()
            others = [place for place in self.cache.copies(object_id) if place not in tried]
            if not others:
                raise
            return self._any_of(others, object_id)

    def _any_of(self, places: list[Place], object_id: bytes) -> bytes:
        why = Damaged(f"object {object_id.hex()[:16]} is in no pack")
        for place in places:
            for each in (place, twin(place)) if place.kind == MANIFEST else (place,):
                try:
                    return self.frame(each)[place.at : place.at + place.length]
                except Damaged as error:
                    why = error
        raise why

    def objects(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Several objects. Raises Damaged when one is missing or unreadable."""
        return {each: self.get(each) for each in ids}

    def message(self, object_id: bytes) -> tuple[bytes, bytes]:
        """A message and its SHA-256, proven to be what was stored. Raises Damaged."""
        stored = self.get(object_id)
        raw = split.compose(stored, self.objects(split.wanted(stored)))
        digest = hashlib.sha256(raw).digest()
        if self.keys.id_of(TEXT, digest) != object_id:
            raise Damaged(f"message {object_id.hex()[:16]} is not what it is named after")
        return raw, digest

    def start(self, object_id: bytes) -> bytes:
        """A message's octets up to its first long body: its header. Raises Damaged."""
        return split.read(self.get(object_id))[1]

    def in_reading_order(self, ids: Iterable[bytes]) -> list[bytes]:
        """Ids sorted by pack and frame; those not stored come last."""
        wanted = list(dict.fromkeys(ids))
        places = self.cache.places(wanted)
        stored = sorted((i for i in wanted if i in places), key=places.__getitem__)
        return stored + [i for i in wanted if i not in places]

    def manifest(self, object_id: bytes, kind: type[format.T]) -> format.T:
        """A manifest object, decoded. Raises Damaged."""
        return format.decode(self.get(object_id), kind)

    def entries(self, root: format.BoxRoot, mailbox: str | None = None) -> list[format.Entry]:
        """The messages of a box in a snapshot. Raises Damaged."""
        return list(self.iter_entries(root, mailbox))

    def iter_entries(self, root: format.BoxRoot, mailbox: str | None) -> Iterator[format.Entry]:
        """Messages, chunk by chunk."""
        for box in root.mailboxes:
            if mailbox in (None, box.name):
                for at in range(0, len(box.chunks), format.ID):
                    chunk = self.manifest(box.chunks[at : at + format.ID], format.Chunk)
                    yield from chunk.entries(box.name)

    # ---------------------------------------------------------------- snapshots

    def snapshots(self) -> dict[str, Commit]:
        """Every readable snapshot by name, oldest first. Damaged ones become notes."""
        self.briefs()
        bodies = self.cache.snapshots()
        commits = {name: format.decode(body, Commit) for name, body in bodies.items()}
        return dict(sorted(commits.items(), key=lambda pair: (pair[1].at, pair[0])))

    def briefs(self) -> dict[str, Brief]:
        """The same, without their boxes, and that much faster where there are many."""
        names = {n.removesuffix(keys.COPY) for n in self.folder.names("snapshots")}
        cached = self.cache.briefs()
        found: dict[str, bytes] = {}
        for name in names - cached.keys():
            try:
                body, notes = self.commit_body(name, heal=self._heal)
                format.decode(body, Commit)
            except Corrupt as error:
                self.notes.append(str(error))
            except Damaged as error:
                self.notes.append(f"snapshots/{name} cannot be read: {error}")
            else:
                found[name] = body
                self.notes += notes
        if not found and names >= cached.keys():
            return cached
        self.cache.keep_snapshots(found, cached.keys() - names)
        return self.cache.briefs()

    def commit_body(self, name: str, *, heal: bool = False) -> tuple[bytes, list[str]]:
        """A commit file's content, from either copy. Raises Corrupt when both are bad."""

        def check(data: bytes) -> None:
            if hashlib.sha256(data).hexdigest()[:8] != name.rpartition("-")[2]:
                raise Damaged("its octets are not those it is named after")
            self.open_small(COMMIT, data)

        data, notes = keys.read_twice(self.folder, f"snapshots/{name}", check, heal=heal)
        return self.open_small(COMMIT, data), notes

    def resolve(self, given: str) -> tuple[str, Commit]:
        """The snapshot that ``latest``, a name, or an unambiguous part of one means."""
        found = self.briefs()
        if not found:
            raise NothingFound("there is no snapshot yet; 'mtad snapshot create' takes one")
        if given in ("", "latest"):
            name = next(reversed(found))
        else:
            fits = [n for n in found if n.startswith(given) or n.rpartition("-")[2] == given]
            fits = fits or [n for n, brief in found.items() if given in brief.was]
            if len(fits) != 1:
                what = "is no snapshot" if not fits else f"may be any of {', '.join(fits[:5])}"
                raise NothingFound(f"{given!r} {what}; 'mtad snapshot list' shows them")
            name = fits[0]
        return name, self.commit_of(name)

    def commit_of(self, name: str) -> Commit:
        """A snapshot that ``briefs`` knows. Raises KeyError."""
        return format.decode(self.cache.snapshot(name), Commit)

    def commit(self, commit: Commit) -> str:
        """Write the commit file and its copy: the snapshot exists from the first rename on.

        Raises OSError, Locked; then it does not exist.
        """
        data = self.seal_small(COMMIT, format.encode(commit))
        name = f"{from_us(commit.at):%Y%m%dT%H%M%SZ}-{hashlib.sha256(data).hexdigest()[:8]}"
        path = f"snapshots/{name}"
        self.folder.assure()
        try:
            keys.twice(self.folder, path, data)
        except OSError:
            for each in (path, path + keys.COPY):
                with contextlib.suppress(OSError):
                    self.folder.remove(each)
            raise
        self.cache.keep_snapshots({name: format.encode(commit)}, ())
        return name


def create(folder: Storage, key_file: Path) -> str:
    """Make an empty repository, and its key file unless there is one. Returns its id.

    Order: key (durable first, or what follows could never be read), folders, wrapped key,
    config. Raises MtadError when there is a repository already.
    """
    if folder.exists(keys.CONFIG) or folder.exists(keys.CONFIG + keys.COPY):
        if not key_file.exists():
            keys.read_secret(key_file)
        raise MtadError(f"there is a snapshot repository in {folder.shown} already, with its key")
    key = keys.read_secret(key_file) if key_file.exists() else keys.make_key(key_file)
    folder.make()
    return keys.initialise(folder, key)
