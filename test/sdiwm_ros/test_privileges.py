"""What is asked of the operating system is in force afterwards, or it is said that it is not."""

import os
import re
import subprocess
import sys

import pytest

from sdiwm_ros.privileges import CPU_LIST, read_cpus

ASK = "import os, threading; from sdiwm_ros import privileges; "
REFUSE = (
    "def refuse(*a): raise PermissionError\n"
    "os.sched_setscheduler = os.sched_setaffinity = refuse\n"
    "privileges._may_lock_without_limit = lambda: False\n"
)


def ask(code):
    done = subprocess.run(
        [sys.executable, "-c", ASK + "\n" + code], check=True, capture_output=True, text=True
    )
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize(
    ("text", "cpus"), [("", set()), ("3", {3}), ("0,2-4", {0, 2, 3, 4}), ("1,1", {1})]
)
def test_a_list_of_processors_is_read_as_it_is_written(text, cpus):
    assert re.fullmatch(CPU_LIST, text)
    assert read_cpus(text) == cpus


@pytest.mark.parametrize("text", ["all", "1,", "-1", "1-", "0 1"])
def test_what_is_no_list_of_processors_does_not_match(text):
    assert not re.fullmatch(CPU_LIST, text)


def test_every_thread_of_the_process_is_pinned():
    cpu = str(min(os.sched_getaffinity(0)))
    said, where = ask(
        "stop = threading.Event(); t = threading.Thread(target=stop.wait); t.start()\n"
        f"print(privileges.pin({cpu!r}))\n"
        "print(os.sched_getaffinity(t.native_id)); stop.set()"
    )
    assert said == f"pinned to {cpu}"
    assert where == f"{{{cpu}}}"


def test_a_processor_that_is_not_there_is_told_with_those_that_are():
    (said,) = ask("print(privileges.pin('4000'))")
    assert "4000 is not permitted" in said
    assert str(min(os.sched_getaffinity(0))) in said


def test_the_scheduling_that_is_told_is_the_one_in_force():
    said, policy = ask("print(privileges.schedule(7)); print(os.sched_getscheduler(0))")
    granted = int(policy) == os.SCHED_FIFO
    assert said == ("SCHED_FIFO 7" if granted else
                    "normal scheduling: real-time scheduling is not permitted here")  # fmt: skip


def test_the_memory_that_is_told_to_be_locked_is_locked_and_can_be_let_go():
    look = "print('VmLck:\t       0 kB' in open('/proc/self/status').read())"
    locked, none, given_up, after = ask(
        f"print(privileges.lock_memory(True)); {look}; print(privileges.lock_memory(False)); {look}"
    )
    assert (locked == "locked") == (none == "False")
    assert given_up == "not locked"
    assert after == "True"


def test_what_is_not_permitted_is_told():
    assert ask(
        REFUSE + "print(privileges.schedule(7)); print(privileges.pin('0')); "
        "print(privileges.lock_memory(True))"
    ) == [
        "normal scheduling: real-time scheduling is not permitted here",
        f"not pinned: 0 is not permitted here (allowed: "
        f"{','.join(map(str, sorted(os.sched_getaffinity(0))))})",
        "not locked: not permitted here (no CAP_IPC_LOCK)",
    ]
