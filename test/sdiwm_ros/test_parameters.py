import pytest
import yaml

pytest.importorskip("rclpy")
from rclpy.parameter import Parameter

from sdiwm_model.share import share_file
from sdiwm_ros.configuration import EVERY_NODE, NODES, OPTIONAL_NODES, read_defaults
from sdiwm_ros.parameters import COMMON, PARAMETERS, Number, describe, refusal, specifications_of

ALL_NODES = (*NODES, *OPTIONAL_NODES)


def test_the_yaml_file_names_every_node_and_no_other():
    content = yaml.safe_load(share_file("config/control.yaml").read_text())
    assert set(content) == {EVERY_NODE, *ALL_NODES}
    assert set(content[EVERY_NODE]["ros__parameters"]) == set(COMMON)
    assert set(PARAMETERS) == set(ALL_NODES)


@pytest.mark.parametrize("node", ALL_NODES)
def test_the_yaml_file_sets_every_parameter_that_the_node_declares_and_no_other(node):
    assert set(read_defaults(node)) == set(specifications_of(node))


@pytest.mark.parametrize("node", ALL_NODES)
def test_every_default_is_of_its_type_and_in_its_range(node):
    defaults = read_defaults(node)
    for name, specification in specifications_of(node).items():
        assert specification.accepts(defaults[name]), name


@pytest.mark.parametrize("node", ALL_NODES)
def test_every_parameter_is_described(node):
    for name, specification in specifications_of(node).items():
        descriptor = describe(specification)
        assert len(descriptor.description) > 10, name
        assert specification.allowed in descriptor.additional_constraints
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert bool(ranges) == isinstance(specification, Number), name


@pytest.mark.parametrize("node", ALL_NODES)
@pytest.mark.parametrize(
    "nonsense", ["nonsense", float("nan"), float("inf"), -1, 10**12, [1], None]
)
def test_nonsense_is_refused_in_a_sentence_that_names_the_parameter(node, nonsense):
    for name, specification in specifications_of(node).items():
        if specification.accepts(nonsense):
            assert nonsense == "nonsense"
            continue
        words = refusal({name: specification}, [Parameter(name, value=nonsense)], False)
        assert name in words
        assert specification.allowed in words


def test_only_a_live_parameter_can_be_set_while_the_node_is_configured():
    observer = specifications_of("observer")
    model = [Parameter("model", value="elsewhere")]
    assert not refusal(observer, model, configured=False)
    assert "deactivate and clean up" in refusal(observer, model, configured=True)
    assert not refusal(observer, [Parameter("image_timeout", value=0.1)], configured=True)
