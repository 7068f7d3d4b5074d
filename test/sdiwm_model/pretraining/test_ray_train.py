"""Ray Train's workers, on a cluster of several nodes, train as the ranks of torchrun do."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from sdiwm_model.cli import main
from sdiwm_model.data.episodes import Episode, EpisodeSpec
from sdiwm_model.data.ray_session import own_ending
from sdiwm_model.data.shards import ShardWriter
from sdiwm_model.pretraining.metrics import LINES
from sdiwm_model.pretraining.settings import configure

ROOT = Path(__file__).parents[3]
SETTINGS = [
    "size=miniature_teacher", "size.patch=16", "every=1",
    "predictor_width=32", "predictor_depth=1", "predictor_heads=2",
    "frames=4", "momentum=0.2", "updates=4", "effective_batch=8", "micro_batch=2", "save_every=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "data"
    rng = np.random.default_rng(0)
    none = np.zeros((4, 0), np.float32)
    with ShardWriter(folder, EpisodeSpec(proprio=0, action=0, goals=0, state=0), {}) as writer:
        for seed in range(12):
            frames = rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
            writer.write(Episode(frames, none, none, none, none, "", -1, "video", seed))
    return folder


@pytest.fixture(scope="module")
def two_nodes():
    """A cluster of a head that computes nothing and two nodes of one core each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    ray.shutdown()  # what other tests may have left
    small = {"object_store_memory": 80_000_000, "include_dashboard": False}
    with own_ending():
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = cluster.address
    yield ray
    ray.shutdown()
    cluster.shutdown()
    if before is None:
        del os.environ["RAY_ADDRESS"]
    else:
        os.environ["RAY_ADDRESS"] = before


def losses(out):
    return [json.loads(line)["loss"] for line in (out / LINES).read_text().splitlines()]


def pretrain(data, out, *more):
    return main(["pretrain", "--data", str(data), "--out", str(out), "--set", *SETTINGS, *more])


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The losses of one process whose own threads read."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert pretrain(data, out) == 0
    return losses(out)


def test_workers_on_two_nodes_train_as_one_process_does(data, alone, two_nodes, tmp_path):
    assert pretrain(data, tmp_path / "ray", "--ray-workers", "2") == 0
    assert sum(node["Alive"] for node in two_nodes.nodes()) == 3
    assert losses(tmp_path / "ray") == pytest.approx(alone, rel=1e-5)
    state = json.loads((tmp_path / "ray/checkpoints/update-00000004/state.json").read_text())
    assert state["ranks"] == 2


def test_clips_read_by_the_nodes_give_the_same_losses(data, alone, two_nodes, tmp_path):
    assert pretrain(data, tmp_path / "read", "loader=ray") == 0
    assert losses(tmp_path / "read") == alone


def test_more_workers_than_the_cluster_has_are_refused(data, two_nodes, tmp_path, capsys):
    assert pretrain(data, tmp_path / "out", "--ray-workers", "3") == 2
    assert "--ray-workers is 3, but the Ray cluster has 2 CPUs" in capsys.readouterr().err


def test_the_cluster_example_asks_for_what_sdiwm_pretrain_takes():
    job = yaml.safe_load((ROOT / "config/cluster/pretrain_rayjob.yaml").read_text())
    words = job["spec"]["entrypoint"].split()
    config = configure(words[words.index("--set") + 1 :])
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    gpus = group["replicas"] * int(container["resources"]["limits"]["nvidia.com/gpu"])
    assert int(words[words.index("--ray-workers") + 1]) == gpus
    assert config.effective_batch % (gpus * config.micro_batch) == 0
    assert config.precision == "bfloat16"
    assert config.recompute
