"""Rights and quota."""

from pathlib import Path

from tests.imap import serving


async def test_owners_may_do_everything(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        assert await client.ok("MYRIGHTS INBOX") == ['* MYRIGHTS "INBOX" lrswipkxteacd']
        assert await client.ok("GETACL INBOX") == ['* ACL "INBOX" alice@local.test lrswipkxteacd']
        assert (await client.no("MYRIGHTS none")).startswith("NO [NONEXISTENT] ")


async def test_quota(tmp_path: Path) -> None:
    async with serving(tmp_path) as running, running.client() as client:
        root, usage = await client.ok("GETQUOTAROOT INBOX")
        assert root == '* QUOTAROOT "INBOX" "box"'
        assert usage.startswith('* QUOTA "box" (')
        assert await client.ok("GETQUOTA box") == [usage]
        assert (await client.no("GETQUOTA none")).startswith("NO [NONEXISTENT] ")
        assert (await client.no("GETQUOTAROOT none")).startswith("NO [NONEXISTENT] ")
        assert (await client.no("SETQUOTA box (STORAGE 5)")).startswith("NO [NOPERM] ")
