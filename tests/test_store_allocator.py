"""Free memory is kept for the next answer, as far as the C library can be told to."""

import ctypes
import subprocess
import sys
from unittest import mock

import pytest

from mtad.store import allocator

FAULTS = """
import resource, sys
from mtad.store.allocator import keep_memory
if sys.argv[1] == "kept":
    keep_memory()

def answers():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [bytes(200_000) for _ in range(20)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

answers()
print(answers())
"""


def faults(how: str) -> int:
    """Pages that the system had to give in twenty answers of 4 MB."""
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True)
    return int(done.stdout)


def test_pages_are_not_taken_anew_for_each_answer() -> None:
    assert faults("kept") * 10 < max(faults("given back"), 1000)


def test_a_c_library_without_mallopt_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: mock.Mock(spec=[]))
    allocator.keep_memory()
    allocator.give_back()
