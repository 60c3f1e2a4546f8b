"""What is being done is shown on a terminal while it is done, and in the log."""

from __future__ import annotations

import logging
import os

import pytest
from on_a_terminal import seen_on_a_terminal

from synet.system.steps import counted, step, telling
from synet.system.streams import quiet

SCRIPT = """
import time
from synet.system.steps import counted, step, telling
from synet.system.streams import quiet
with telling("starting"):
    step("[bold]loading\\x1b]0;gotcha")
    time.sleep(0.3)
    with quiet():
        for _ in counted(range(3), "calibrating", 3):
            time.sleep(0.2)
print("done")
"""


@pytest.mark.skipif(os.name == "nt", reason="terminals of Unix")
def test_steps_on_a_terminal():
    seen = seen_on_a_terminal(SCRIPT)
    assert "[bold]loading\\x1b]0;gotcha" in seen and "calibrating: 1 of 3" in seen
    assert seen.index("loading") < seen.index("calibrating") < seen.index("done")
    assert "\x1b[2K" in seen  # the line goes when all is done


BAR = """
import threading, time
from synet.system.steps import giving_way, step, telling
with giving_way():
    pass  # nobody is telling
with telling("loading"):
    with giving_way():
        while threading.active_count() > 1:  # it is told to end, and need not have yet
            time.sleep(0.01)
        print("nothing else draws")
        step("unseen")
    step("matching")
"""


@pytest.mark.skipif(os.name == "nt", reason="terminals of Unix")
def test_the_line_gives_way_to_a_bar():
    """Its thread does, too, which would disturb who measures time."""
    seen = seen_on_a_terminal(BAR)
    assert seen.index("loading") < seen.index("nothing else draws") < seen.index("matching")


def test_nothing_is_shown_where_there_is_no_terminal(capfd, caplog):
    caplog.set_level(logging.DEBUG, "synet")
    with telling("starting"), quiet():
        step("loading")
        assert list(counted("ab", "calibrating", 2)) == ["a", "b"]
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records] == [
        "starting",
        "loading",
        "calibrating",
    ]


def test_a_count_without_an_audience(capfd):
    assert list(counted(iter("ab"), "calibrating", 2, progress=False)) == ["a", "b"]
    assert capfd.readouterr() == ("", "")
