import pytest

from sdiwm_model import cli


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Short episodes of `reach` as the benches take them: train, a and b."""
    pytest.importorskip("mujoco")
    root = tmp_path_factory.mktemp("episodes")
    for name, seed, episodes in (("train", 0, 8), ("a", 1, 8), ("b", 2, 8)):
        arguments = ["--episodes", str(episodes), "--steps", "45", "--seed", str(seed)]
        assert cli.main(["collect", "--out", str(root / name), *arguments]) == 0
    return root
