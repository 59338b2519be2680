# human3r_ros and human3r_bridge on ROS 2 Jazzy. With the NVIDIA container runtime the network runs on the GPU:
#   docker build -t human3r .
#   docker run --rm -it --gpus all --network host -v $PWD/models:/models human3r \
#     ros2 launch human3r_ros live.launch.py image:=/camera/image_raw \
#       weights:=/models/human3r.safetensors body_model:=/models/smplx.npz rviz:=false \
#       outputs:="[markers, people]"
# RViz is not in the image; run view.launch.py on a desktop. Not built or run yet.
FROM ros:jazzy-ros-base

RUN apt-get update && apt-get install -y --no-install-recommends \
        python3-venv \
        ros-jazzy-rmw-cyclonedds-cpp \
    && rm -rf /var/lib/apt/lists/*

# Each is needed by some outputs of human3r_bridge only, and a release may lack one.
RUN apt-get update \
    && for name in hri people vision; do \
        apt-get install -y --no-install-recommends ros-jazzy-$name-msgs \
            || echo "ros-jazzy-$name-msgs is not available; going on without" >&2; \
    done \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/human3r

# Jazzy's compiled Python packages are built against NumPy 1, so everything stays below 2. PyTorch's
# wheel brings its own CUDA libraries; of the host it needs the driver only.
RUN printf 'numpy<2\nopencv-python-headless<4.12\n' > constraints.txt \
    && python3 -m venv --system-site-packages venv \
    && venv/bin/pip install --no-cache-dir -c constraints.txt torch==2.13.0
ENV PATH=/opt/human3r/venv/bin:$PATH \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt .

COPY ros2_ws ros2_ws
# What the package.xml files name, but for RViz.
RUN apt-get update && rosdep update --rosdistro jazzy \
    && rosdep install --from-paths ros2_ws/src --ignore-src --rosdistro jazzy -y \
        --dependency-types exec --dependency-types build --dependency-types buildtool \
        --skip-keys rviz2 \
    && rm -rf /var/lib/apt/lists/*
# colcon is called through the environment's Python, so that the node's executable finds torch and
# the bridge's finds human3r.
RUN . /opt/ros/jazzy/setup.sh && cd ros2_ws && python3 -m colcon build --merge-install

RUN printf '#!/bin/bash\nsource /opt/human3r/ros2_ws/install/setup.bash\nexec "$@"\n' > entry.sh \
    && chmod +x entry.sh
ENTRYPOINT ["/opt/human3r/entry.sh"]
CMD ["ros2", "launch", "human3r_ros", "live.launch.py", "--show-args"]
