"""Which handler answers which command, when it is legal, and what may be told with its answer.

A command's key is its name without "UID ".
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mtad.imap.answer import Ok
from mtad.imap.handlers import (
    acl,
    any_state,
    append,
    copy,
    enable,
    expunge,
    fetch,
    idle,
    listing,
    login,
    mailboxes,
    metadata,
    namespace,
    notify,
    quota,
    replace,
    search,
    select,
    sort,
    status,
    store,
    thread,
)
from mtad.imap.session import ANY, LOGGED_IN, Session, State

Handler = Callable[[Session, Any], Awaitable[Ok | None]]
"""Takes the parsed command; writes untagged data; None is ``Ok()``. Raises No, Bad, Gone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One command.

    ``numbered`` tells a command that must not be answered with an EXPUNGE before its end, except
    in its UID form (RFC 9051 7.5.1).
    """

    handler: Handler
    states: State
    numbered: bool = False


TABLE: Mapping[str, Entry] = {
    "CAPABILITY": Entry(any_state.capability, ANY),
    "NOOP": Entry(any_state.noop, ANY),
    "LOGOUT": Entry(any_state.logout, ANY),
    "ID": Entry(any_state.identify, ANY),
    # Before the login.
    "STARTTLS": Entry(login.starttls, State.NOT_AUTHENTICATED),
    "AUTHENTICATE": Entry(login.authenticate, State.NOT_AUTHENTICATED),
    "LOGIN": Entry(login.login, State.NOT_AUTHENTICATED),
    # The session.
    "ENABLE": Entry(enable.enable, LOGGED_IN),
    "COMPRESS": Entry(enable.compress, LOGGED_IN),
    "IDLE": Entry(idle.idle, LOGGED_IN),
    "NOTIFY": Entry(notify.notify, LOGGED_IN),
    # Mailboxes.
    "SELECT": Entry(select.select, LOGGED_IN),
    "EXAMINE": Entry(select.select, LOGGED_IN),
    "CREATE": Entry(mailboxes.create, LOGGED_IN),
    "DELETE": Entry(mailboxes.delete, LOGGED_IN),
    "RENAME": Entry(mailboxes.rename, LOGGED_IN),
    "SUBSCRIBE": Entry(mailboxes.subscribe, LOGGED_IN),
    "UNSUBSCRIBE": Entry(mailboxes.unsubscribe, LOGGED_IN),
    "LIST": Entry(listing.list_, LOGGED_IN),
    "LSUB": Entry(listing.lsub, LOGGED_IN),
    "STATUS": Entry(status.status, LOGGED_IN),
    "NAMESPACE": Entry(namespace.namespace, LOGGED_IN),
    "GETQUOTA": Entry(quota.getquota, LOGGED_IN),
    "GETQUOTAROOT": Entry(quota.getquotaroot, LOGGED_IN),
    "SETQUOTA": Entry(quota.setquota, LOGGED_IN),
    "MYRIGHTS": Entry(acl.myrights, LOGGED_IN),
    "GETACL": Entry(acl.getacl, LOGGED_IN),
    "SETACL": Entry(acl.setacl, LOGGED_IN),
    "DELETEACL": Entry(acl.deleteacl, LOGGED_IN),
    "LISTRIGHTS": Entry(acl.listrights, LOGGED_IN),
    "GETMETADATA": Entry(metadata.getmetadata, LOGGED_IN),
    "SETMETADATA": Entry(metadata.setmetadata, LOGGED_IN),
    # The selected mailbox.
    "CLOSE": Entry(select.close, State.SELECTED),
    "UNSELECT": Entry(select.unselect, State.SELECTED),
    "CHECK": Entry(select.check, State.SELECTED),
    # Messages.
    "APPEND": Entry(append.append, LOGGED_IN),
    "REPLACE": Entry(replace.replace, State.SELECTED),
    "FETCH": Entry(fetch.fetch, State.SELECTED, numbered=True),
    "STORE": Entry(store.store, State.SELECTED, numbered=True),
    "SEARCH": Entry(search.search, State.SELECTED, numbered=True),
    "SORT": Entry(sort.sort, State.SELECTED, numbered=True),
    "THREAD": Entry(thread.thread, State.SELECTED, numbered=True),
    "COPY": Entry(copy.copy, State.SELECTED),
    "MOVE": Entry(copy.move, State.SELECTED),
    "EXPUNGE": Entry(expunge.expunge, State.SELECTED),
}
