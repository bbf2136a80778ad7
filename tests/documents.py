"""The pages of docs/ that are made from the code: ``make docs`` writes them, a test compares.

Settings come from the model, events from their declarations, commands from their help.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click
from pydantic import BaseModel

from mtad import cli
from mtad.config import Config
from mtad.setup.annotated import literal
from tests.tui_keys import STORIES, TYPED
from tracing import eventdoc, fields, views
from tui import actions

DOCS = Path(__file__).resolve().parents[1] / "docs"
MADE = "<!-- Made by `make docs`; change the code instead. -->"


def config_page() -> str:
    """docs/config.md."""
    lines = [
        "# Settings",
        MADE,
        "",
        "One TOML file. `mtad quickstart` writes it with these words as comments,",
        "`mtad config show` prints it with the values in force, `mtad config check` reports all",
        "its problems at once.",
        "Relative names start at the file's own folder unless said otherwise.",
    ]
    lines += _section(Config, "")
    return "\n".join(lines) + "\n"


def _section(model: type[BaseModel], prefix: str) -> Iterator[str]:
    sections = []
    yield from ("", "| setting | default | meaning |", "|---|---|---|")
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            sections.append((name, kind))
            continue
        default = "required" if field.is_required() else f"`{literal(field.default)}`"
        yield f"| `{prefix}{name}` | {default} | {field.description} |"
    for name, kind in sections:
        yield from ("", f"## [{name}]", "", _words(kind))
        yield from _section(kind, f"{prefix}{name}.")


def _words(cls: type) -> str:
    """A docstring as Markdown: its double backquotes are single ones there."""
    return (inspect.getdoc(cls) or "").replace("``", "`")


def commands_page() -> str:
    """docs/commands.md."""
    lines = [
        "# Commands",
        MADE,
        "",
        "Every command takes `--config FILE` (else MTAD_CONFIG, ./mtad.toml, /etc/mtad/mtad.toml).",
        "Data goes to standard output, talk to standard error. Exit status: 0 ok, 1 failure,",
        "2 usage, 3 done in part, 4 nothing found, 5 a check found problems, 10 the server or the",
        "database cannot be reached, 11 locked, 12 not permitted, 13 corruption found,",
        "130 interrupted.",
    ]
    for words, command in every_command():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            settings = cli.root.context_settings  # as if called through the root
            context = click.Context(command, info_name=words, terminal_width=96, **settings)
            lines += ["", f"## {words}", "", "```", context.get_help(), "```"]
    return "\n".join(lines) + "\n"


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Each command with the words that call it, groups before what is in them."""
    context = click.Context(cli.root, info_name="mtad")
    for name in cli.root.list_commands(context):
        command = cli.root.get_command(context, name)
        assert command is not None
        yield from _commands(f"mtad {name}", command)


def _commands(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands(f"{words} {name}", command.commands[name])


def tui_page() -> str:
    """docs/tui.md."""
    lines = [
        "# The dashboard",
        MADE,
        "",
        "`mtad tui` shows the server in a terminal of 60 by 15 cells or more. A digit goes to a",
        "screen, `?` shows its keys, `:` takes an action by its name, `ctrl+p` finds one. Letters",
        "have twins on the Russian layout. `--read-only` changes nothing, and shows no text of a",
        "message, since that is written down. `--lang ru` speaks Russian.",
        "",
        "| key | screen | what it shows |",
        "|---|---|---|",
        *(
            f"| `{action.keys[0]}` | {action.label} | {_cell(action.description)} |"
            for action in actions.of(actions.Scope.APP)
            if action.id.startswith("go.")
        ),
        "",
        "What is asked of any message works on every screen that shows one. The text of a message",
        "in a box, a snapshot or the queue is shown to who says why; that is an event",
        "(`admin.read`) before it is shown. Putting mail back shows its plan first, and can be",
        "taken back. Measured values, causes and fixes of Health, and answers of other servers,",
        "stay as they are in every language.",
        "",
        "## How many keys it takes",
        "",
        "| to do | begin at | keys | how many |",
        "|---|---|---|---|",
        *(
            f"| {story.title} | {story.begin} | "
            f"{' '.join(f'`{story.typed if key == TYPED else key}`' for key in story.keys)} | "
            f"{story.count}{' and what is typed' if story.typed else ''} |"
            for story in STORIES
        ),
    ]
    for scope in actions.Scope:
        name = f"{scope.value[0].upper()}{scope.value[1:]}"
        lines += ["", f"## {name}", "", "| keys | name | what it does |", "|---|---|---|"]
        for action in actions.of(scope):
            keys = " ".join(f"`{_cell(key)}`" for key in action.keys)
            lines.append(f"| {keys} | `{action.id}` | {_cell(action.description)} |")
    return "\n".join(lines) + "\n"


def filter_page() -> str:
    """docs/filter.md."""
    lines = [
        "# The filter language",
        MADE,
        "",
        "One line says which messages are meant, the same for `mtad trace`, `mtad tail`, `mtad",
        "queue` and the filter line of the dashboard.",
        "",
        "- Terms beside each other must all hold; `a b | c d` is a and b, or c and d.",
        "- `state:bounced|expired`, without spaces, is either of the two for that field.",
        "- `!` or `-` before a term or a bracket negates it: `!(from:a | to:b)`.",
        '- Quotes keep spaces together: `subj:"annual report"`. `*` ends the beginning of a word.',
        "- A bare word is looked for in subject, addresses, Message-ID, id and IP address.",
        "- `@name` is a view, a filter with a name: those below, and what `mtad trace --save NAME",
        "  FILTER` keeps (`--views` lists, `--forget NAME` takes away).",
        "- Numbers: `5`, `>5`, `<=5`, `5..9`; sizes `20k`, `5M`; time spans `30s`, `15m`, `3d`.",
        "",
        "| field | what it looks at | example |",
        "|---|---|---|",
        *(
            f"| `{name}:` | {one.help} | `{_cell(one.example)}` |"
            for name, one in fields.FIELDS.items()
        ),
        "",
        "| view | what it stands for |",
        "|---|---|",
        *(f"| `@{name}` | `{_cell(text)}` |" for name, text in views.BUILT_IN.items()),
        "",
        "| time | what it means |",
        "|---|---|",
        *(f"| `{name}:` | {meaning} |" for name, meaning in fields.TIMES.items()),
        "",
        "Times: `15m`, `3h`, `2d`, `1w` ago; `today`, `yesterday`, `now`; `14:20`; `20.11`,",
        "`20.11.2026`, `2026-11-20`, `2026-11-20T14:00+03:00`; for `on:` and `at:` also",
        "`2026-11-20..2026-11-22`. In Russian: `15м`, `3ч`, `2д`, `1н`, `сегодня`, `вчера`,",
        "`сейчас`.",
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES = {
    "config.md": config_page,
    "events.md": eventdoc.document,
    "commands.md": commands_page,
    "filter.md": filter_page,
    "tui.md": tui_page,
}
"""Every made page and what makes it."""

if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
