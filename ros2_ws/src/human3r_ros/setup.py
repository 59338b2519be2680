from glob import glob

from setuptools import setup

NAME = "human3r_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="Human3R as a ROS 2 lifecycle node",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[NAME],
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
            "human3r_node = human3r_ros.node:main",
            "human3r_replay_pacer = human3r_ros.replay_pacer:main",
        ]
    },
    zip_safe=False,
)
