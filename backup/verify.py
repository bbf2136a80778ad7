"""Proving that a repository holds what it says, and naming what it does not.

Without ``read_data`` the structure is checked: every file that should be there is there, in
full, and every object that a snapshot names is in the index. With it every octet is read:
each file against the hash it is named after, each frame against its tag, each message
recomposed and compared with its id. What is kept twice (config, keys, commits) and what can
be computed (the index) is healed and reported all the same.
"""

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from backup import format, keys, split, subkeys
from backup.cache import Place
from backup.format import BODY, MANIFEST, TEXT, BoxRoot, Commit, Damaged, PackEntry
from backup.keys import HEALED
from backup.places import Away, pack_path
from backup.repository import Repository, twin
from mtad.errors import Corrupt


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that a damage costs, by where a snapshot has it."""

    snapshot: str
    box: str
    mailbox: str
    uid: int
    m: int
    st: int
    base: str


@dataclass(slots=True)
class Finding:
    """One damage: the file, where in it, what it means. ``healed`` damage costs nothing."""

    file: str
    what: str
    offset: int | None = None
    objects: tuple[str, ...] = ()
    healed: bool = False
    messages: list[Lost] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What a verification saw."""

    read_data: bool
    snapshots: int = 0
    packs: int = 0
    packs_read: int = 0
    objects: int = 0
    octets: int = 0
    sealed: int = 0
    """Packs whose files were read, but not what is in them: the key may only put."""
    relisted: int = 0
    """Packs that no index segment listed and one lists now."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all was found."""
        return not self.findings

    @property
    def is_whole(self) -> bool:
        """Whether nothing is lost; what was found has been healed."""
        return all(finding.healed for finding in self.findings)


def verify(
    repository: Repository,
    *,
    read_data: bool = False,
    share: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Check a repository that was opened with ``heal``. ``progress`` gets packs done, in all.

    With ``read_data`` that ``share`` of the packs' octets is read, at least one pack: those
    that were read longest ago, so that repeated calls read everything in turn. What is found
    damaged is remembered, and the next snapshot stores it again where the file still exists.
    """
    report = Report(read_data)
    for note in repository.notes:
        file, _, what = note.partition(" ")
        if not file.startswith(("index/", "packs/")):
            report.findings.append(Finding(file, what, healed=what.endswith(HEALED)))
    check = _Check(repository, report)
    check.index()
    commits = check.commits()
    check.packs(progress, share)
    check.manifests(commits)
    check.name_messages(commits)
    return report


class _Check:
    def __init__(self, repository: Repository, report: Report) -> None:
        self._repository = repository
        self._report = report
        self._packs: dict[str, PackEntry] = {}
        self._bad: dict[bytes, Finding] = {}
        """Damaged or missing objects and the finding that names them."""
        self._bad_in: dict[bytes, list[bytes]] = {}
        """Bad objects by the pack in which they are."""
        self._seen: set[bytes] = set()
        """Packs that were read."""
        self._elsewhere: set[str] = set()
        """Damaged objects that another pack has in good order."""
        self._lossy: list[PackEntry] = []
        """Packs that are missing or of another length."""

    def _found(self, finding: Finding) -> Finding:
        self._report.findings.append(finding)
        return finding

    # -------------------------------------------------------------- small files

    def index(self) -> None:
        """Index segments; a damaged one is written anew from the packs and then removed."""
        bad: list[Finding] = []
        self._repository.cache.forget()
        for name in sorted(self._repository.folder.segments()):
            try:
                packs = self._repository.segment(name)
            except Away:
                raise
            except (OSError, Damaged) as error:
                bad.append(self._found(Finding(f"index/{name}", f"is damaged: {error}")))
                continue
            self._repository.cache.add(name, packs)
            self._packs.update((pack.name.hex(), pack) for pack in packs)
        adopted, problems = self._repository.adopt()
        self._packs.update((pack.name.hex(), pack) for pack in adopted)
        self._report.relisted = len(adopted)
        for path, why in problems:
            self._found(Finding(path, why))
        for finding in bad:
            self._repository.folder.remove(finding.file)
            finding.what += "; rebuilt from the packs"
            finding.healed = True

    def commits(self) -> dict[str, Commit]:
        """Commit files; a damaged copy is healed from the other."""
        names = {n.removesuffix(keys.COPY) for n in self._repository.folder.names("snapshots")}
        commits = {}
        for name in sorted(names):
            try:
                body, notes = self._repository.commit_body(name, heal=True)
                commits[name] = format.decode(body, Commit)
            except (Corrupt, Damaged) as error:
                what = f"both copies are bad, the snapshot cannot be read: {error}"
                self._found(Finding(f"snapshots/{name}", what))
                continue
            for note in notes:
                file, _, what = note.partition(" ")
                self._found(Finding(file, what, healed=what.endswith(HEALED)))
        self._report.snapshots = len(commits)
        return commits

    # -------------------------------------------------------------------- packs

    def packs(self, progress: Callable[[int, int], None], share: float) -> None:
        """Every pack, bodies before the messages that need them."""
        order = sorted(self._packs.values(), key=lambda pack: (pack.kind == TEXT, pack.name))
        wanted = self._turn(share) if self._report.read_data else set()
        texts = False
        for done, pack in enumerate(order):
            progress(done, len(order))
            if pack.kind == TEXT and not texts:
                texts = True
                self._settle()
            self._report.packs += 1
            self._report.objects += sum(len(frame.lengths) for frame in pack.frames)
            self._pack(pack, read=pack.name in wanted)
        progress(len(order), len(order))
        if any(self._bad_in.get(pack.name) for pack in order if pack.kind == BODY) and self._bad:
            for pack in order:
                if pack.kind == TEXT and pack.name not in self._seen and pack not in self._lossy:
                    with contextlib.suppress(OSError):
                        path = pack_path(pack.name.hex())
                        self._read_pack(pack, path, self._repository.folder.get(path))
        self._settle()

    def _turn(self, share: float) -> set[bytes]:
        """The packs whose turn it is to be read: longest ago first, until there is enough.

        Those in which damage is known are read every time.
        """
        proven = self._repository.cache.proven()
        proven.update(dict.fromkeys(self._repository.cache.damaged(), -1))
        order = sorted(
            self._packs.values(), key=lambda pack: (proven.get(pack.name.hex(), 0), pack.name)
        )
        left = share * sum(pack.size for pack in order)
        found: set[bytes] = set()
        for pack in order:
            is_broken = proven.get(pack.name.hex(), 0) < 0
            if left <= 0 and not is_broken:
                break
            found.add(pack.name)
            left -= 0 if is_broken else pack.size
        return found

    def _pack(self, pack: PackEntry, *, read: bool) -> None:
        path = pack_path(pack.name.hex())
        try:
            size = self._repository.folder.size(path)
            if read:
                self._read_pack(pack, path, self._repository.folder.get(path))
            elif size != pack.size:
                self._size(pack, path, size)
            else:
                self._edges(pack, path)
        except Away:
            raise
        except OSError as error:
            finding = Finding(path, f"cannot be read: {error.strerror}")
            self._lose(pack, self._found(finding))

    def _settle(self) -> None:
        """Remember the damage, and take for healed what is stored elsewhere as well."""
        for name in self._seen | {pack.name for pack in self._lossy}:
            self._repository.cache.note_damage(name.hex(), self._bad_in.get(name, ()))
        elsewhere = self._repository.cache.stored(list(self._bad))
        for each in elsewhere:
            self._elsewhere.add(each.hex())
            del self._bad[each]
        for finding in self._report.findings:
            if finding.objects and not finding.healed and self._elsewhere >= {*finding.objects}:
                finding.what += "; it is stored elsewhere as well, pruning removes this copy"
                finding.healed = True

    def _lose(self, pack: PackEntry, finding: Finding) -> None:
        self._lossy.append(pack)
        for frame in pack.frames:
            self._lose_frame(pack, frame, finding)

    def _lose_frame(self, pack: PackEntry, frame: format.FrameEntry, finding: Finding) -> None:
        ids = [each for each, _, _ in frame.objects()]
        finding.objects += tuple(each.hex() for each in ids)
        self._bad.update(dict.fromkeys(ids, finding))
        self._bad_in.setdefault(pack.name, []).extend(ids)

    def _size(self, pack: PackEntry, path: str, size: int) -> None:
        finding = Finding(path, f"has {size} octets instead of {pack.size}", min(size, pack.size))
        self._found(finding)
        self._lossy.append(pack)
        for frame in pack.frames:
            if frame.offset + format.FRAME.size + frame.stored > size:
                self._lose_frame(pack, frame, finding)

    def _edges(self, pack: PackEntry, path: str) -> None:
        """The clear header and its second copy at the end."""
        folder = self._repository.folder
        if folder.read(path, 0, format.PACK.size) != pack.header:
            self._found(Finding(path, "its header is damaged; its contents are readable", 0))
        end = pack.size - format.FOOTER.size
        try:
            _, _, header = format.read_footer(folder.read(path, end, format.FOOTER.size))
        except Damaged as error:
            self._found(Finding(path, f"{error}; its contents are readable", end))
            return
        if header != pack.header:
            self._found(Finding(path, "its end is damaged; its contents are readable", end))

    def _read_pack(self, pack: PackEntry, path: str, data: bytes) -> None:
        self._report.octets += len(data)
        self._report.packs_read += 1
        self._seen.add(pack.name)
        self._repository.cache.prove(pack.name.hex())
        whole = hashlib.sha256(data).digest() == pack.name
        before = len(self._report.findings)
        if len(data) != pack.size:
            self._size(pack, path, len(data))
        if pack.kind in subkeys.CONTENTS and not self._repository.keys.can_read:
            self._report.sealed += 1
            if not whole and len(data) == pack.size:
                what = "is damaged; which of its messages are lost a key with all rights tells"
                self._lose(pack, self._found(Finding(path, what)))
            return
        at = format.PACK.size
        for frame in pack.frames:
            at = frame.offset + format.FRAME.size + frame.stored
            if at <= len(data):
                self._read_frame(pack, path, frame, data)
        if whole or len(data) != pack.size:
            return
        if data[: format.PACK.size] != pack.header:
            self._found(Finding(path, "its header is damaged; its contents are readable", 0))
        if len(self._report.findings) == before:
            what = "its end is damaged; its contents are readable"
            self._found(Finding(path, what, at))

    def _read_frame(
        self, pack: PackEntry, path: str, frame: format.FrameEntry, data: bytes
    ) -> None:
        start = frame.offset + format.FRAME.size
        count = len(frame.lengths)
        clear = format.frame_header(pack.kind, frame.number, count, frame.stored, frame.raw)
        if data[frame.offset : start] != clear:
            what = "a frame's header is damaged; its contents are readable"
            self._found(Finding(path, what, frame.offset))
        name = pack.name.hex()
        fields = (frame.offset, frame.stored, frame.raw, count, pack.kind, pack.salt)
        place = Place(name, frame.number, 0, 0, *fields)
        try:
            content = self._repository.open_frame(place, data[start : start + frame.stored])
            if format.read_lengths(content, count) != frame.lengths:
                raise Damaged("the frame's objects are not those of the index")
        except Damaged as error:
            finding = self._found(Finding(path, str(error), frame.offset))
            if pack.kind == MANIFEST and self._has_twin(place, data):
                finding.what += "; its second copy is good"
            else:
                self._lose_frame(pack, frame, finding)
            return
        for object_id, at, length in frame.objects():
            why = self._object(pack.kind, object_id, content[at : at + length])
            if isinstance(why, str) and why:
                why = self._found(Finding(path, why, frame.offset, (object_id.hex(),)))
            if isinstance(why, Finding):
                self._bad[object_id] = why
                self._bad_in.setdefault(pack.name, []).append(object_id)

    def _has_twin(self, place: Place, data: bytes) -> bool:
        """Whether the other copy of a manifest's frame is readable."""
        other = twin(place)
        start = other.offset + format.FRAME.size
        try:
            self._repository.open_frame(other, data[start : start + other.stored])
        except Damaged:
            return False
        return True

    def _object(self, kind: bytes, object_id: bytes, stored: bytes) -> str | Finding:
        """What is wrong with an object that was read; nothing if it is what its id says.

        For a message whose body is lost it is the finding that told of the body.
        """
        if kind == TEXT:
            try:
                needs = split.wanted(stored)
                lost = [each for each in needs if each in self._bad]
                if lost:
                    return self._bad[lost[0]]
                stored = split.compose(stored, self._repository.objects(needs))
            except Damaged as error:
                return f"a message cannot be put together: {error}"
        digest = hashlib.sha256(stored).digest()
        if self._repository.keys.id_of(kind, digest) != object_id:
            return "an object is not what it is named after"
        return ""

    # ---------------------------------------------------------------- manifests

    def manifests(self, commits: dict[str, Commit]) -> None:
        """Whether every object that a snapshot names is there."""
        seen: set[bytes] = set()
        for name, commit in commits.items():
            for line in commit.boxes:
                if line.root not in seen:
                    seen.add(line.root)
                    self._box(name, line, seen)

    def _box(self, snapshot: str, line: format.BoxLine, seen: set[bytes]) -> None:
        where = f"snapshot {snapshot}, box {line.address}"
        root = self._manifest(line.root, BoxRoot, f"{where}: its {line.messages} messages")
        for mailbox in root.mailboxes if root else ():
            for at in range(0, len(mailbox.chunks), format.ID):
                chunk_id = mailbox.chunks[at : at + format.ID]
                if chunk_id in seen:
                    continue
                seen.add(chunk_id)
                cost = f"{where}, mailbox {mailbox.name}: up to {format.CHUNK} messages"
                chunk = self._manifest(chunk_id, format.Chunk, cost)
                if chunk is not None:
                    self._contents(chunk, f"{where}, mailbox {mailbox.name}")

    def _manifest(self, object_id: bytes, kind: type[format.T], cost: str) -> format.T | None:
        finding = self._bad.get(object_id)
        try:
            if finding is None:
                return self._repository.manifest(object_id, kind)
        except Damaged as error:
            text = str(error)
            file = text.partition(" ")[0] if text.startswith("packs/") else "index"
            finding = self._found(Finding(file, text, objects=(object_id.hex(),)))
            self._bad[object_id] = finding
        assert finding is not None
        finding.what += f"; {cost} cannot be listed"
        return None

    def _contents(self, chunk: format.Chunk, where: str) -> None:
        ids = [chunk.ids[at : at + format.ID] for at in range(0, len(chunk.ids), format.ID)]
        places = self._repository.cache.places(ids)
        for object_id in ids:
            if object_id not in places and object_id not in self._bad:
                what = f"{where}: object {object_id.hex()[:16]} is in no pack"
                finding = Finding("index", what, objects=(object_id.hex(),))
                self._bad[object_id] = self._found(finding)

    def name_messages(self, commits: dict[str, Commit]) -> None:
        """Tell which messages the damaged objects cost."""
        if not self._bad:
            return
        for name, commit in commits.items():
            for line in commit.boxes:
                try:
                    root = self._repository.manifest(line.root, BoxRoot)
                except Damaged:
                    continue
                for mailbox in root.mailboxes:
                    self._name(name, line.address, mailbox)

    def _name(self, snapshot: str, box: str, mailbox: format.MailboxRoot) -> None:
        for at in range(0, len(mailbox.chunks), format.ID):
            try:
                chunk_id = mailbox.chunks[at : at + format.ID]
                entries = self._repository.manifest(chunk_id, format.Chunk).entries(mailbox.name)
            except Damaged:
                continue
            for e in entries:
                finding = self._bad.get(e.id)
                if finding is not None:
                    lost = Lost(snapshot, box, mailbox.name, e.uid, e.m, e.st, e.base)
                    finding.messages.append(lost)
