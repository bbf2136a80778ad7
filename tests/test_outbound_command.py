"""Delivery to programs: exit statuses, output, time, and words that are only words."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtad.directory.transports import Transport
from mtad.outbound.command import STATUSES, arguments
from mtad.outbound.envelope import BadPath
from tests.dialog import until
from tests.outbound import MESSAGE, sender
from tests.server import alive


def shell(script: str, *words: str) -> Transport:
    return Transport("p.test", "command", argv=("/bin/sh", "-c", script, "sh", *words))


async def test_the_message_is_read(tmp_path: Path) -> None:
    target = tmp_path / "got"
    transport = shell(
        f'cat > {target}.$1; echo "$2|$3|$4"', "{local}", "{recipient}", "{sender}", "x{domain}y"
    )
    async with sender({}, transport) as us:
        outcomes = await us.send("a@p.test", "b@p.test")
        assert [(o.kind, o.reply, o.lmtp) for o in outcomes] == [
            ("delivered", "a@p.test|a@local.test|xp.testy", True),
            ("delivered", "b@p.test|a@local.test|xp.testy", True),
        ]
        assert (tmp_path / "got.a").read_bytes() == MESSAGE
        large = tmp_path / "content"
        large.write_bytes(MESSAGE * 10_000)
        assert (await us.one("c@p.test", content=large, sender="")).reply == "c@p.test||xp.testy"
        assert (tmp_path / "got.c").read_bytes() == MESSAGE * 10_000


@pytest.mark.parametrize("status", [*STATUSES, 1, 126, 127, 200])
async def test_exit_statuses(status: int) -> None:
    async with sender({}, shell(f"echo no luck; exit {status}")) as us:
        outcome = await us.one("a@p.test")
        kind, enh, _ = STATUSES.get(status, ("deferred", "4.3.0", ""))
        assert (outcome.kind, outcome.enh, outcome.reply) == (kind, enh, "no luck")
        assert outcome.stage == ("" if status == 0 else "command")
        assert (f"exit status {status}" in outcome.why) is (status != 0)


async def test_a_program_that_is_killed_or_missing_costs_no_mail() -> None:
    async with sender({}, shell("kill -9 $$")) as us:
        outcome = await us.one("a@p.test")
        assert (outcome.kind, outcome.why) == ("deferred", "signal 9")
    async with sender({}, Transport("p.test", "command", argv=("/no/such/program",))) as us:
        outcome = await us.one("a@p.test")
        assert (outcome.kind, outcome.enh) == ("deferred", "4.3.5")


async def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    script = f"(sleep 1.5; touch {mark}) & cat > /dev/null; wait"
    async with sender({}, shell(script), dot_timeout_seconds=0.3) as us:
        outcome = await us.one("a@p.test")
        assert (outcome.kind, outcome.why) == ("deferred", "not finished within 0.3 s")
        await asyncio.sleep(1.6)
        assert not mark.exists()


async def test_output_is_bounded_and_shown_safely() -> None:
    async with sender({}, shell("printf '\\033[2Jx\\n'; head -c 300000 /dev/zero; exit 75")) as us:
        outcome = await us.one("a@p.test")
        assert outcome.kind == "deferred"
        assert outcome.reply.startswith("\\x1b[2Jx\n\\x00")
        assert len(outcome.reply) < 20_000


async def test_a_program_need_not_read() -> None:
    async with sender({}, shell("exit 0")) as us:
        assert (
            await us.one("a@p.test", content=b"x: y\n\n" + b"z\n" * 100_000)
        ).kind == "delivered"


async def test_a_cancelled_delivery_ends_the_program(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with sender({}, shell(f"echo $$ > {pid}; sleep 60")) as us:
        running = asyncio.ensure_future(us.one("a@p.test"))
        await until(lambda: pid.exists() and pid.read_text())
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not alive(int(pid.read_text()))


@pytest.mark.parametrize(
    ("recipient", "why"),
    [("-rf@p.test", "option"), ("a\nb@p.test", "characters"), ("a\0b@p.test", "characters")],
)
async def test_an_address_is_never_an_option_or_a_line(recipient: str, why: str) -> None:
    async with sender({}, Transport("p.test", "command", argv=("/bin/echo", "{recipient}"))) as us:
        outcome = await us.one(recipient)
        assert (outcome.kind, outcome.enh) == ("failed", "5.1.3")
        assert why in outcome.why


@given(st.text(max_size=20), st.text(max_size=20))
def test_words_stay_words(local: str, other: str) -> None:
    argv = ("/bin/x", "-r", "{recipient}", "a{local}b{domain}", "{sender}", other.replace("{", ""))
    try:
        words = arguments(argv, "{recipient}@s.test", f"{local}@p.test")
    except BadPath:
        return
    assert words == [
        "/bin/x",
        "-r",
        f"{local}@p.test",
        f"a{local}bp.test",
        "{recipient}@s.test",
        other.replace("{", ""),
    ]
