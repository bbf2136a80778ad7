"""``mtad snapshot``: dated states of the boxes."""

from pathlib import Path

import click

from backup import (
    catalog,
    cli_bootstrap,
    cli_copy,
    cli_drill,
    cli_find,
    cli_forget,
    cli_hold,
    cli_key,
    cli_prune,
    runs,
    show,
)
from backup.telling import box_address, telling
from mtad.cli_options import administrator, config_option, json_option, settings
from mtad.errors import Exit, UsageError
from tracing.render import counted, size

# ----------------------------------------------------------------- snapshot


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def snapshot(context: click.Context) -> int | None:
    """Take, list, look into and verify snapshots; alone it lists them."""
    if context.invoked_subcommand is None:
        return int(context.invoke(list_) or 0)
    return None


@snapshot.command()
@click.option("--box", metavar="ADDRESS", help="Only this box.")
@click.option("--domain", metavar="NAME", help="Only the boxes of this domain.")
@click.option(
    "--maildir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A Maildir that is no box of this server: Dovecot's or Postfix's.",
)
@click.option("--as", "whose", metavar="ADDRESS", help="As whose that Maildir is kept.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="To tell it from others later.")
@config_option
@json_option
@click.pass_context
def create(
    context: click.Context,
    box: str | None,
    domain: str | None,
    maildir: Path | None,
    whose: str | None,
    tags: tuple[str, ...],
    as_json: bool,
) -> int:
    """Take a snapshot of the whole server, or of some boxes.

    Without --box and --domain it has the settings, accounts and the event log too, so that
    'mtad snapshot bootstrap' can rebuild a dead machine. A Maildir of another program is read
    as it lies, with the UIDs, flags and keywords that Dovecot wrote down; nothing is changed.
    """
    if bool(box) + bool(domain) + bool(maildir) > 1:
        raise UsageError("give one of --box, --domain and --maildir")
    if bool(whose) != bool(maildir):
        raise UsageError("--maildir PATH and --as ADDRESS go together")
    box = box or whose
    loaded = settings(context)
    line = show.Line()
    try:
        with telling(loaded) as tell:
            taken = runs.take(
                loaded,
                tell,
                box=box_address(box) if box else None,
                domain=domain.lower() if domain else None,
                maildir=maildir.resolve() if maildir else None,
                tags=tags,
                actor=administrator(),
                say=show.say,
                progress=lambda p: line.show(
                    lambda: (
                        f"box {p.boxes_done + 1} of {p.boxes}: "
                        f"{counted(p.read, 'message')} read, {size(p.read_bytes)}"
                    )
                ),
            )
    finally:
        line.clear()
    commit = taken.commit
    messages = sum(each.messages for each in commit.mail)
    if as_json:
        show.emit(
            {
                "snapshot": taken.name,
                "at": show.rfc3339(commit.at),
                "scope": commit.scope,
                "boxes": len(commit.mail),
                "messages": messages,
                "added": commit.added,
                "stored_bytes": commit.stored,
                "seconds": commit.seconds,
                "same_as": taken.same_as or None,
                "unread": list(commit.unread),
                "tags": list(commit.tags),
            }
        )
    else:
        same = f"; nothing changed since {taken.same_as}" if taken.same_as else ""
        click.echo(
            f"snapshot {taken.name}: {counted(len(commit.mail), 'box', 'boxes')}, "
            f"{counted(messages, 'message')}, {commit.added:,} new, "
            f"{size(commit.stored)} stored in {commit.seconds:.1f} s{same}"
        )
    for each in commit.unread:
        show.say(f"could not be read: {each}")
    return Exit.PARTIAL if commit.unread else Exit.OK


@snapshot.command("list")
@click.option("--tag", default="", metavar="WORD", help="Only those with this tag.")
@config_option
@json_option
@click.pass_context
def list_(context: click.Context, tag: str = "", as_json: bool = False) -> int:
    """List the snapshots, oldest first."""
    with catalog.Catalog.open(settings(context)) as view:
        found = [each for each in view.snapshots()[::-1] if not tag or tag in each.tags]
        notes = view.notes
    for note in notes:
        show.say(note)
    if as_json:
        show.emit({"snapshots": [show.snapshot_fields(each) for each in found]})
    elif found:
        show.table(
            ("SNAPSHOT", "TAKEN", "BOXES", "MESSAGES", "SIZE", "NEW", "STORED", "SCOPE", ""),
            [
                (
                    each.name,
                    show.when(each.at),
                    str(each.boxes),
                    str(each.messages),
                    size(each.size),
                    str(each.added),
                    size(each.stored),
                    each.scope,
                    ", ".join((*(["held"] if each.held else []), *each.tags)),
                )
                for each in found
            ],
            "BOXES MESSAGES SIZE NEW STORED",
        )
    elif tag:
        show.say(f"no snapshot has the tag {tag}")
    else:
        show.say("there is no snapshot yet; 'mtad snapshot create' takes one")
    return Exit.CORRUPT if notes else Exit.OK


@snapshot.command("show")
@click.argument("snap", default="latest")
@config_option
@json_option
@click.pass_context
def show_(context: click.Context, snap: str, as_json: bool) -> None:
    """Show one snapshot with its boxes; without SNAP the latest."""
    with catalog.Catalog.open(settings(context)) as view:
        name = view.resolve(snap)
        each = next(one for one in view.snapshots() if one.name == name)
        boxes = view.boxes(name)
    if as_json:
        rows = [
            {"box": box.address, "messages": box.messages, "size_bytes": box.size} for box in boxes
        ]
        show.emit({**show.snapshot_fields(each), "contents": rows})
        return
    click.echo(f"{each.name}  taken {show.when(each.at)}, {each.scope}, in {each.seconds:.1f} s")
    click.echo(
        f"{counted(each.messages, 'message')} ({size(each.size)}) "
        f"in {counted(each.boxes, 'box', 'boxes')}; {each.added:,} new, "
        f"{size(each.stored)} stored; {each.unread:,} could not be read"
    )
    show.boxes_table(boxes)


@snapshot.command()
@click.argument("snap")
@click.argument("box", required=False)
@click.argument("mailbox", required=False)
@config_option
@json_option
@click.pass_context
def ls(
    context: click.Context, snap: str, box: str | None, mailbox: str | None, as_json: bool
) -> None:
    """List a snapshot's boxes, a box's mailboxes, or a mailbox's messages.

    SNAP is a snapshot's name, an unambiguous part of it, or "latest".
    """
    with catalog.Catalog.open(settings(context)) as view:
        name = view.resolve(snap)
        if box is None:
            boxes = view.boxes(name)
            if as_json:
                rows = [
                    {"box": b.address, "messages": b.messages, "size_bytes": b.size} for b in boxes
                ]
                show.emit({"snapshot": name, "boxes": rows})
            else:
                show.boxes_table(boxes)
        elif mailbox is None:
            mailboxes = view.mailboxes(name, box_address(box))
            if as_json:
                rows = [
                    {"mailbox": m.name, "messages": m.messages, "uidvalidity": m.uidvalidity}
                    for m in mailboxes
                ]
                show.emit({"snapshot": name, "box": box_address(box), "mailboxes": rows})
            else:
                show.table(
                    ("MAILBOX", "MESSAGES"),
                    [(m.name, str(m.messages)) for m in mailboxes],
                    "MESSAGES",
                )
        else:
            messages = view.messages(name, box_address(box), mailbox)
            if as_json:
                rows = [show.message_fields(each) for each in messages]
                head = {"snapshot": name, "box": box_address(box), "mailbox": mailbox}
                show.emit({**head, "messages": rows})
            else:
                show.messages_table(messages)


def _percent(text: str) -> float:
    try:
        found = float(text.removesuffix("%"))
    except ValueError:
        found = 0.0
    if not 0 < found <= 100:
        raise UsageError(f"{text} is no share of the data; give a number of percent, like 10")
    return found


@snapshot.command()
@click.option(
    "--read-data",
    is_flag=False,
    flag_value="100",
    metavar="[PERCENT]",
    help="Read and prove every octet; with PERCENT so much of it, what was read longest ago.",
)
@config_option
@json_option
@click.pass_context
def verify(context: click.Context, read_data: str | None, as_json: bool) -> int:
    """Check the repository; name what is damaged and the messages it costs.

    What is damaged is stored again by the next snapshot where the message still exists.
    """
    loaded = settings(context)
    percent = _percent(read_data) if read_data is not None else 0.0
    line = show.Line()
    try:
        with telling(loaded) as tell:
            report = runs.check(
                loaded,
                tell,
                read_data=percent > 0,
                share=percent / 100,
                actor=administrator(),
                progress=lambda done, total: line.show(lambda: f"pack {done} of {total}"),
            )
    finally:
        line.clear()
    if as_json:
        show.emit(show.report_fields(report))
    else:
        for finding in report.findings:
            show.show_finding(finding)
        how = "in place (their contents: --read-data)"
        if percent:
            part = f"in place, {counted(report.packs_read, 'pack')} read"
            how = "read and proven" if percent >= 100 else part
        click.echo(
            f"{counted(report.snapshots, 'snapshot')}, {counted(report.packs, 'pack')}, "
            f"{counted(report.objects, 'object')} {how}; "
            f"{counted(len(report.findings), 'problem')}"
        )
        if report.sealed:
            packs = counted(report.sealed, "pack")
            click.echo(f"of {packs} only the file was proven: this key cannot read what is in them")
        if report.relisted:
            packs = counted(report.relisted, "pack")
            click.echo(f"listed again, because the index did not: {packs}")
    if report.is_clean:
        return Exit.OK
    return Exit.PROBLEMS if report.is_whole else Exit.CORRUPT


snapshot.add_command(cli_bootstrap.bootstrap)
snapshot.add_command(cli_drill.drill)
snapshot.add_command(cli_find.cat)
snapshot.add_command(cli_find.diff)
snapshot.add_command(cli_find.find)
snapshot.add_command(cli_forget.forget)
snapshot.add_command(cli_hold.hold)
snapshot.add_command(cli_hold.release)
snapshot.add_command(cli_key.key)
snapshot.add_command(cli_copy.copy)
snapshot.add_command(cli_prune.prune)
snapshot.add_command(cli_prune.compact)
