from __future__ import annotations

import logging
import os
import sys

import pytest

from synet.system.streams import quiet, user_stream


def shout():
    print("python")
    print("python", file=sys.stderr)
    for number in (1, 2):
        os.write(number, b"c++\n")


@pytest.mark.parametrize("capture", ["capfd", "capsys"])
def test_nothing_is_printed(capture, request):
    """By Python or past it; to the terminal, or to where a notebook has put its streams."""
    captured = request.getfixturevalue(capture)
    with quiet():
        shout()
    assert captured.readouterr() == ("", "")
    print("after")
    assert captured.readouterr().out == "after\n"


def test_what_was_printed_before_stays_in_order(capfd):
    sys.stdout.write("before ")
    with quiet():
        shout()
    print("after")
    assert capfd.readouterr().out == "before after\n"


def test_an_exception_opens_them_again(capfd):
    with pytest.raises(ZeroDivisionError), quiet():
        shout()
        raise ZeroDivisionError
    shout()
    assert capfd.readouterr() == ("python\nc++\n", "python\nc++\n")


def test_no_file_is_left_open():
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for _ in range(3):
        with user_stream(), quiet():
            pass
    after = os.listdir("/proc/self/fd") if before else []
    assert len(after) == len(before)


def test_a_progress_bar_still_reaches_the_user(capfd):
    with user_stream() as stream, quiet():
        shout()
        print("50 %", file=stream, flush=True)
    assert capfd.readouterr() == ("", "50 %\n")


def test_it_can_be_within_itself(capfd):
    with quiet():
        with quiet():
            shout()
        shout()
    logging.getLogger("synet").debug("fine")
    assert capfd.readouterr() == ("", "")


def test_a_log_that_is_set_up_meanwhile_is_heard_later(capsys):
    logger = logging.getLogger("set-up-meanwhile")
    logger.propagate = False
    with quiet():
        logger.addHandler(logging.StreamHandler())
        logger.warning("not this")
    logger.warning("this")
    assert capsys.readouterr().err == "this\n"
