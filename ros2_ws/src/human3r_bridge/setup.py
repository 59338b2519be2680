from glob import glob

from setuptools import setup

NAME = "human3r_bridge"

setup(
    name=NAME,
    version="0.1.0",
    description="Human3R's people as markers, people_msgs, vision_msgs and REP-155",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[NAME],
    # For machines without ROS 2; with it, the installed message packages are used.
    package_data={NAME: ["definitions/*/msg/*.msg"]},
    # The client library (rclpy or rclpy-lite) is left out on purpose: ROS 2 brings its own.
    install_requires=["human3r", "human3r-ros", "numpy>=1.24", "scipy>=1.11"],
    # By which `colcon test` knows that these tests are pytest's.
    extras_require={"test": ["pytest"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.py")),
        (f"share/{NAME}/config", glob("config/*.yaml")),
    ],
    entry_points={"console_scripts": ["human3r_bridge = human3r_bridge.process:main"]},
    zip_safe=False,
)
