import numbers

import pytest
import yaml

pytest.importorskip("rclpy")
from sdiwm_model.share import share_file
from sdiwm_ros.configuration import NODES, read_defaults
from sdiwm_ros.parameters import PARAMETERS, Number, Switch, Text


def test_the_yaml_file_names_every_node_and_no_other():
    assert set(yaml.safe_load(share_file("config/control.yaml").read_text())) == set(NODES)
    assert set(PARAMETERS) == set(NODES)


@pytest.mark.parametrize("node", NODES)
def test_the_yaml_file_sets_every_parameter_that_the_node_declares_and_no_other(node):
    assert set(read_defaults(node)) == set(PARAMETERS[node])


@pytest.mark.parametrize("node", NODES)
def test_every_default_is_of_its_type_and_in_its_range(node):
    defaults = read_defaults(node)
    for name, specification in PARAMETERS[node].items():
        value = defaults[name]
        if isinstance(specification, Number):
            assert isinstance(value, int if specification.whole else numbers.Real), name
            assert specification.low <= value <= specification.high, name
        else:
            expected = {Text: str, Switch: bool}[type(specification)]
            assert isinstance(value, expected), name


@pytest.mark.parametrize("node", NODES)
def test_every_parameter_is_described(node):
    assert all(len(specification.description) > 10 for specification in PARAMETERS[node].values())
