"""What a person does with the terminal UI, as the keys it takes: docs/tui.md counts them.

``tests/test_tui_keyed.py`` plays each, so that no page promises what the program does not do.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Story:
    """Keys from a screen on; ``typed`` is the text typed at ``TYPED``, and is not a key."""

    title: str
    begin: str
    keys: tuple[str, ...]
    ends: str
    """What is on the screen then."""
    typed: str = ""
    does: str = ""
    """What was done to the server by then; empty where nothing was."""

    @property
    def count(self) -> int:
        """Keys, what is typed as text left out."""
        return len(self.keys) - self.keys.count(TYPED)


TYPED = "TEXT"
"""Stands among the keys for text that is typed."""

STORIES = (
    Story("Why the last message that failed did not arrive", "overview", ("w",), "delivered to"),
    Story(
        "Why a message to somebody did not arrive", "overview",
        ("2", "/", TYPED, "enter", "w"), "delivered to", "to:maria",
    ),
    Story(
        "Try a destination's whole queue again (the number asked for is typed)", "overview",
        ("3", "R", TYPED, "enter"), "2 recipients are being tried", "2", "retry",
    ),
    Story(
        "Put a deleted message back, from its trace", "trace", ("enter", "r", "y"), "1 put back",
        does="restore",
    ),
    Story(
        "Release a held message", "overview", ("6", "u", "y"), "1 recipient was released",
        does="release",
    ),
    Story(
        "Add a box, with a password made up", "overview",
        ("4", "enter", "a", TYPED, "enter", "enter"), "password  made-up", "zoe",
        "add zoe@example.org",
    ),
)  # fmt: skip
