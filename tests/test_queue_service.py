"""The queue put together: by the settings, also by those that change while it runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mtad import config
from mtad.config import Loaded
from mtad.delivery.local import Delivery
from mtad.directory.lookup import Directory
from mtad.errors import MtadError, UsageError
from mtad.journal.writer import Journal
from mtad.queue.service import QueueService
from tests.dialog import until

Changed = Callable[..., Loaded]


@pytest.fixture
async def service(site: Loaded) -> AsyncIterator[QueueService]:
    journal = Journal.open(site.places.journal / "mta-0", node=1)
    delivery = Delivery(journal, site.places, site.config.hostname)
    made = QueueService(site, journal, delivery, Directory(site.places.state_db))
    yield made
    await made.stop()
    await journal.close()


@pytest.fixture
def changed(site: Loaded) -> Changed:
    """The settings with others in their place, by section."""

    def change(**sections: dict[str, Any]) -> Loaded:
        made = {
            name: getattr(site.config, name).model_copy(update=values)
            for name, values in sections.items()
        }
        return Loaded(site.path, site.config.model_copy(update=made), site.places)

    return change


async def test_the_settings_are_obeyed(service: QueueService, changed: Changed) -> None:
    queue = {"retry_minutes": (1.0, 2.0), "give_up_after_hours": 7.0, "warn_after_hours": 0}
    before = service.runner.courier
    service.use(changed(queue=queue | {"hold": ("to:@slow.test",), "report_language": "ru"}))
    schedule = service.runner.schedule
    assert (schedule.retry_minutes, schedule.give_up_after_hours) == ((1.0, 2.0), 7.0)
    assert schedule.warns_at(5) == 0
    hold = service._delivery.hold
    assert hold is not None
    assert hold("", "x@slow.test") == "to:@slow.test"
    assert service._reporter.language == "ru"
    assert service.runner.courier is before
    service.use(changed(queue={"hold": ()}))
    assert service._delivery.hold is None


async def test_another_way_out_needs_no_restart(service: QueueService, changed: Changed) -> None:
    before = service.runner.courier
    service.use(changed(outbound={"max_connections": 7, "max_recipients": 3}))
    await until(lambda: service.runner.courier is not before)
    assert (service.runner.max_attempts, service.runner.max_recipients) == (7, 3)


async def test_a_way_out_that_cannot_be_is_not_taken(
    service: QueueService, changed: Changed, caplog: pytest.LogCaptureFixture
) -> None:
    before = service.runner.courier
    service.use(changed(outbound={"ca_file": "nowhere.pem"}))
    await until(lambda: caplog.records)
    assert "by the settings before" in caplog.text
    assert service.runner.courier is before


async def test_what_it_tells_and_takes(service: QueueService) -> None:
    assert service.status() == {
        "loaded": False,
        "recipients": 0,
        "trying": 0,
        "attempts": 0,
        "delivered": 0,
    }
    drop = service.verbs()["queue.drop"]
    with pytest.raises(MtadError, match="still being loaded"):
        await drop({"entries": [[1, 1]]})
    service._loader.is_done.set()
    assert await drop({"entries": [[1, 1]]}) == {
        "done": 0,
        "busy": [],
        "gone": [(1, 1)],
        "unfit": [],
    }
    with pytest.raises(UsageError):
        await service.verbs()["queue.redirect"]({"entries": [[1, 1]], "to": "nobody"})


async def test_it_runs_until_it_is_told_to_stop(service: QueueService) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(service.run())
        await asyncio.sleep(0)
        await service.stop()


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("retry_minutes = []", "queue.retry_minutes"),
        ("retry_minutes = [5, 0]", "not a number of minutes"),
        ("give_up_after_hours = 0", "queue.give_up_after_hours"),
        ('hold = ["@slow.test"]', "is no rule"),
        ('hold = ["to:<>"]', "is no rule"),
        ('report_language = "de"', "queue.report_language"),
    ],
)
def test_bad_settings_are_told(site: Loaded, written: str, problem: str) -> None:
    text = site.path.read_text()
    assert text.count("[queue]\n") == 1
    site.path.write_text(text.replace("[queue]\n", f"[queue]\n{written}\n"))
    with pytest.raises(MtadError, match=problem):
        config.load(site.path)
