"""How SEARCH and SORT answer: as a list, or as an ESEARCH response (RFC 9051 7.3.4, RFC 4731,
RFC 5182, RFC 5267, RFC 7162 3.1.5, RFC 9394)."""

from collections.abc import Sequence

from mtad.imap import write
from mtad.imap.commands import Search, Sort
from mtad.imap.searching import Searching, asks_modseq
from mtad.imap.selected import Selected
from mtad.imap.session import Session

WIDE = ("ALL", "COUNT")
"""Options that speak of every message found."""


def page(found: Sequence[int], partial: tuple[int, int]) -> list[int]:
    """Those in a range of PARTIAL (RFC 9394 3.1), which may count from the end."""
    first, last = partial
    if first > 0:
        return list(found[first - 1 : last])
    return list(found[max(0, len(found) + last) : max(0, len(found) + first + 1)])


async def tell(
    session: Session,
    selected: Selected,
    command: Search | Sort,
    searching: Searching,
    found: Sequence[int],
) -> None:
    """Send what was found, positions in the order of the answer, and save it where asked."""
    is_sort = isinstance(command, Sort)
    returns = command.returns
    if returns is None and session.rev2 and not is_sort:
        returns = ("ALL",)
    by_uid = command.by_uid or session.uidonly
    if returns is None:
        said = [b"SORT" if is_sort else b"SEARCH"]
        if found:
            said.append(" ".join(map(str, _named(selected, searching, found, by_uid))).encode())
            if asks_modseq(command.key):
                said.append(b"(MODSEQ %d)" % _highest(searching, found))
        await session.write(write.line(*said))
        return
    paged = page(found, command.partial) if command.partial is not None else []
    ends = [found[0]] if "MIN" in returns and found else []
    ends += [found[-1]] if "MAX" in returns and found else []
    if not set(WIDE).isdisjoint(returns) or not (ends or command.partial):
        spoken: Sequence[int] = found
    else:
        spoken = [*ends, *paged]
    if "SAVE" in returns:
        selected.saved = sorted({searching.uids[at] for at in spoken})
        if returns == ("SAVE",) and command.partial is None:
            return
    values: list[tuple[str, int | bytes]] = []
    for name, end in (("MIN", found[:1]), ("MAX", found[-1:])):
        if name in returns and end:
            values.append((name, _named(selected, searching, end, by_uid)[0]))
    if "ALL" in returns and found:
        values.append(("ALL", _set(selected, searching, found, by_uid, is_sort)))
    if command.partial is not None:
        numbers = _set(selected, searching, paged, by_uid, is_sort) if paged else b"NIL"
        values.append(("PARTIAL", b"(%d:%d %b)" % (*command.partial, numbers)))
    if "COUNT" in returns:
        values.append(("COUNT", len(found)))
    if asks_modseq(command.key) and spoken:
        values.append(("MODSEQ", _highest(searching, spoken)))
    await session.write(write.esearch(command.tag, values, by_uid=by_uid))


def _named(
    selected: Selected, searching: Searching, found: Sequence[int], by_uid: bool
) -> list[int]:
    """UIDs, or sequence numbers as the client has them."""
    uids = searching.uids
    if by_uid:
        return [uids[at] for at in found]
    if selected.uids is uids:
        return [at + 1 for at in found]
    return [selected.number(uids[at]) for at in found]


def _set(
    selected: Selected,
    searching: Searching,
    found: Sequence[int],
    by_uid: bool,
    is_sort: bool,
) -> bytes:
    """A set of numbers; of a sort in its order, each by itself (RFC 5267 3.1)."""
    numbers = _named(selected, searching, found, by_uid)
    return ",".join(map(str, numbers)).encode() if is_sort else write.number_set(numbers)


def _highest(searching: Searching, found: Sequence[int]) -> int:
    modseqs = searching.modseqs
    return max(modseqs[at] for at in found)
