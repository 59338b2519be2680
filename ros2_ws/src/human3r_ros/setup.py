import sys
from glob import glob

from setuptools import setup

NAME = "human3r_ros"
# For `ros2 run human3r_ros human3r ...`: with the Python that colcon runs on, wherever that is.
# Not in a wheel, whose command would take the place of the core's own.
IS_COLCON = bool({"install", "develop"} & set(sys.argv))

setup(
    name=NAME,
    version="0.1.0",
    description="Human3R as a ROS 2 lifecycle node",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[NAME, f"{NAME}.multi", f"{NAME}.commands", f"{NAME}.diagnostics"],
    # The client library (rclpy or rclpy-lite) is left out on purpose: ROS 2 brings its own.
    install_requires=["human3r"],
    # By which `colcon test` knows that these tests are pytest's.
    extras_require={"test": ["pytest"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.py")),
        (f"share/{NAME}/config", glob("config/*.yaml")),
        (f"share/{NAME}/rviz", glob("rviz/*.rviz")),
        (f"share/{NAME}/foxglove", glob("foxglove/*.json")),
        (f"share/{NAME}/nav2", glob("nav2/*.yaml")),
        (f"share/{NAME}/sros2", glob("sros2/*.xml")),
    ],
    entry_points={
        "console_scripts": [
            "human3r_node = human3r_ros.process:main",
            "human3r_multi = human3r_ros.multi.process:main",
            "human3r_replay_pacer = human3r_ros.commands.replay_pacer:main",
            *(["human3r = human3r.cli.main:main"] if IS_COLCON else []),
        ],
        "human3r.commands": [
            f"{name} = human3r_ros.commands.{name}:main"
            for name in ("live", "play", "record", "demo")
        ],
        "human3r.writers": ["bag = human3r_ros.bag_results:BagResults"],
        "human3r.checks": [
            "graph = human3r_ros.commands.doctor:graph_checks",
            "loopback = human3r_ros.commands.doctor:loopback_test",
        ],
    },
    zip_safe=False,
)
