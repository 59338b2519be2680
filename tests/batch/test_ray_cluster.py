"""A batch on a real Ray cluster of two nodes: a worker is killed at work, then a node dies."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from human3r.batch.manifest import DONE
from human3r.batch.run import MANIFEST, run_batch, tasks_for
from human3r.batch.work import Outcome, Task
from human3r.batch.workers import on_ray
from human3r.errors import InputError

ray = pytest.importorskip("ray", reason="the extra 'batch' is not installed")


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80_000_000}
    made = Cluster(initialize_head=True, head_node_args=head)
    yield made
    ray.shutdown()
    made.shutdown()


def work_slowly(task: Task) -> Outcome:
    import os
    import signal
    import time
    from pathlib import Path

    from human3r.batch.work import Outcome, is_complete, written_once

    if is_complete(Path(task.out)):
        return Outcome(task.source, True, "was there already", 0.0)
    with Path(task.source).open("a") as file:
        file.write(f"{os.environ.get('RAY_NODE_ID', os.getpid())}\n")
    time.sleep(1.0)
    if Path(task.source).stem == "3" and len(Path(task.source).read_text().splitlines()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    with written_once(Path(task.out)) as folder:
        folder.mkdir()
        (folder / "people.npz").write_bytes(b"x")
        (folder / "summary.json").write_text("{}")
    return Outcome(task.source, True, "fine", 1.0)


@pytest.mark.parametrize(
    ("address", "words"), [("127.0.0.1:9", "no cluster answers"), ("here", "HOST:PORT")]
)
def test_an_address_without_a_cluster_is_said_at_once(tmp_path, address, words):
    workers = partial(on_ray, address=address, jobs=1)
    with pytest.raises(InputError, match=words):
        run_batch([Task("a.mp4", str(tmp_path / "a"))], tmp_path, workers)
    assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_and_a_node_that_die_lose_nothing(cluster, tmp_path):
    second = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    cluster.wait_for_nodes()
    sources = tmp_path / "in"
    sources.mkdir()
    paths = [sources / f"{number}.mp4" for number in range(8)]
    for path in paths:
        path.touch()
    out = tmp_path / "out"
    tasks = tasks_for(paths, out, Task("", ""))
    killed = []

    def tell(outcome):
        if not killed:
            time.sleep(0.5)  # Both nodes are in the middle of something.
            killed.append(time.monotonic())
            cluster.remove_node(second, allow_graceful=False)

    # Functions of a test module are not on the workers' path: they travel by value.
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(__import__(__name__, fromlist=["work_slowly"]))
    ray.init(address=cluster.address, log_to_driver=False)
    workers = partial(on_ray, address=cluster.address, jobs=0, work=work_slowly)
    summary = run_batch(tasks, out, workers, retries=2, tell=tell)
    assert killed
    assert summary.num_done == 8
    assert not summary.failures
    lines = [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]
    done = [line["source"] for line in lines if line["state"] == DONE]
    assert len(done) == len(set(done)) == 8
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == [str(number) for number in range(8)]  # None twice, as name-2, none in part.
    assert len(paths[3].read_text().splitlines()) > 1  # Its worker was killed at work.
    assert not cluster.worker_nodes  # Of the two nodes the head is left.
    assert Path(out, "report.json").exists()
