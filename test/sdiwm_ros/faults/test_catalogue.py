import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from sdiwm_ros.faults.catalogue import BEDS

REFERENCE = Path(__file__).parents[3] / "doc" / "reference" / "faults.md"


def test_the_reference_names_every_fault_and_no_other():
    told = re.findall(r"^\| `(\w+)` \|", REFERENCE.read_text(), flags=re.MULTILINE)
    assert sorted(told) == sorted(fault.name for _, faults in BEDS.values() for fault in faults)
