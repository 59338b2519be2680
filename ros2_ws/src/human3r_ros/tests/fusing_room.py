"""The fusing node in a process of its own, what it reads, and a listener, over real DDS."""

import os
import sys

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from human3r_msgs.msg import HumanArray
from human3r_ros import qos

from ros2_ws.src.human3r_ros.tests.running_process import Peer, RunningProcess, wait_until


class Room:
    """The fusing node and its cameras as processes, and a listener."""

    def __init__(self, folder, environment):
        self._folder, self._environment = folder, environment
        self.processes = []
        self.peer = Peer()
        self.arrays, self.diagnostics = [], []
        listen = self.peer.node.create_subscription
        listen(HumanArray, "/human3r_multi/humans", self.arrays.append, qos.HUMANS)
        listen(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)

    def start(self, name, module, *arguments):
        environment = {**os.environ, **self._environment, "OMP_NUM_THREADS": "1"}
        log = self._folder / f"{name}-{len(self.processes)}.log"
        command = [sys.executable, "-m", module, *map(str, arguments)]
        process = RunningProcess(command, log, environment)
        self.processes.append(process)
        return process

    def fuse(self, **settings):
        words = [f"--set={name.replace('__', '.')}={value}" for name, value in settings.items()]
        return self.start("multi", "human3r_ros.multi.process", *words)

    def camera(self, name, angle_deg, seed):
        return self.start(name, "ros2_ws.src.human3r_ros.tests.view_process", name, angle_deg, seed)

    def wait(self, claim, what, timeout_s=120.0):
        def look():
            assert self.processes[0].process.poll() is None, self.processes[0].log()
            return claim()

        return wait_until(look, timeout_s, what)

    def people(self):
        """Ids and places of the last message."""
        return _places(self.arrays[-1]) if self.arrays else {}

    def mean_people(self, count=15):
        """Ids of all in the next messages, and mean places: one message has a camera's noise."""
        begin = self.mark()
        self.wait(lambda: self.mark() >= begin + count, f"{count} messages")
        found = {}
        for array in self.arrays[begin:]:
            for name, place in _places(array).items():
                found.setdefault(name, []).append(place)
        return {name: np.mean(places, axis=0) for name, places in found.items()}

    def mark(self):
        """A point in time, for ``ids_since``."""
        return len(self.arrays)

    def ids_since(self, mark):
        """Ids of all people since then, lost ones left out."""
        return {h.id for a in self.arrays[mark:] for h in a.humans if h.track_state != 3}

    def changes_of_views(self, name):
        """How far a person moved when a camera was lost or came back, the standard deviation of
        the place by one camera alone, both in metres, and whether one camera was left.

        One camera alone does not know how far away somebody is, so covariances tell how many see.
        """
        seen = [h for array in self.arrays for h in array.humans if h.id == name]
        places = np.array([[getattr(h.body_pose.position, axis) for axis in "xyz"] for h in seen])
        covariances = np.array([h.body_pose_covariance for h in seen]).reshape(-1, 6, 6)
        sigma_m = np.sqrt(covariances[:, :3, :3].trace(axis1=1, axis2=2))
        is_alone = sigma_m > (sigma_m.min() + sigma_m.max()) / 2
        return [
            (np.linalg.norm(places[i] - places[i - 1]), sigma_m[[i - 1, i]].max(), is_alone[i])
            for i in np.flatnonzero(np.diff(is_alone)) + 1
        ]

    def status(self, view):
        for message in reversed(self.diagnostics):
            for status in message.status:
                if status.name == f"human3r_multi: {view}":
                    return status
        return None

    def shared(self, view):
        status = self.status(view)
        values = {v.key: v.value for v in status.values} if status else {}
        return int(values.get("shared", 0))

    def close(self):
        for process in self.processes:
            process.close()
        self.peer.close()


def _places(array):
    """By id, of those who are not lost."""
    places = {h.id: h.body_pose.position for h in array.humans if h.track_state != 3}
    return {name: np.array([place.x, place.y, place.z]) for name, place in places.items()}
