"""Images of 1280x720 between two processes: rate, loss, latency, processor time.

    python benchmarks/dds_throughput.py [--seconds 5] [--json FILE]

Each row is one publisher process and one subscriber process on 127.0.0.1. Latency is from just
before `publish` to the start of the subscriber's callback.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np
from scaffold import described, parser, write_result

WIDTH, HEIGHT = 1280, 720
CASES = [
    # name, raw, reliable, rate in Hz (0: as fast as possible)
    ("raw, best effort, 30 Hz", True, False, 30.0),
    ("decoded, best effort, 30 Hz", False, False, 30.0),
    ("raw, reliable, 30 Hz", True, True, 30.0),
    ("decoded, reliable, 30 Hz", False, True, 30.0),
    ("raw, reliable, flat out", True, True, 0.0),
    ("decoded, reliable, flat out", False, True, 0.0),
]


def _profile(reliable):
    from rclpy_lite.qos import QoSProfile, ReliabilityPolicy

    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=5, reliability=policy)


def publish(reliable, rate_hz, seconds):
    """The publishing process; prints how many it sent and its processor time."""
    import rclpy_lite
    from rclpy_lite.messages import get_message

    with rclpy_lite.init(args=[]):
        node = rclpy_lite.create_node("camera")
        publisher = node.create_publisher(
            get_message("sensor_msgs/msg/Image"), "image", _profile(reliable)
        )
        deadline = time.monotonic() + 20
        while publisher.get_subscription_count() == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        message = publisher.msg_type(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        message.data = np.zeros(HEIGHT * WIDTH * 3, np.uint8)
        start, start_cpu_s, sent = time.monotonic(), time.process_time(), 0
        while time.monotonic() - start < seconds:
            stamp = message.header.stamp
            stamp.sec, stamp.nanosec = divmod(time.time_ns(), 10**9)
            publisher.publish(message)
            sent += 1
            if rate_hz:
                time.sleep(max(0.0, start + sent / rate_hz - time.monotonic()))
        cpu_s = time.process_time() - start_cpu_s
        publisher.wait_for_all_acked()
        print(json.dumps({"sent": sent, "cpu_s": cpu_s, "wall_s": time.monotonic() - start}))
        sys.stdin.readline()


def _subscribe(raw, reliable, peer):
    import rclpy_lite
    from rclpy_lite.messages import get_message

    image = get_message("sensor_msgs/msg/Image")
    arrivals = []

    def on_bytes(cdr):
        now_ns = time.time_ns()
        second, nanosecond = np.frombuffer(cdr, np.uint32, 2, 4)
        arrivals.append((now_ns, now_ns - int(second) * 10**9 - int(nanosecond)))

    def on_image(message):
        now_ns = time.time_ns()
        stamp = message.header.stamp
        arrivals.append((now_ns, now_ns - stamp.sec * 10**9 - stamp.nanosec))

    with rclpy_lite.init(args=[]):
        node = rclpy_lite.create_node("viewer")
        node.create_subscription(
            image, "image", on_bytes if raw else on_image, _profile(reliable), raw=raw
        )
        start_cpu_s = time.process_time()
        last = time.monotonic()
        while peer.poll() is None and time.monotonic() - last < (1.0 if arrivals else 20.0):
            before = len(arrivals)
            rclpy_lite.spin_once(node, timeout_sec=0.2)
            if len(arrivals) > before:
                last = time.monotonic()
        return arrivals, time.process_time() - start_cpu_s


def measure(name, raw, reliable, rate_hz, seconds):
    """One row of the table."""
    arguments = ["--publish", str(int(reliable)), str(rate_hz), str(seconds)]
    peer = subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        arrivals, cpu_s = _subscribe(raw, reliable, peer)
        sender = json.loads(peer.stdout.readline())
        peer.communicate("\n", timeout=20)
    finally:
        if peer.poll() is None:
            peer.kill()
            peer.wait()
    stamps_ns = np.array([a for a, _ in arrivals])
    ages_ms = np.array([age for _, age in arrivals]) / 1e6
    span_s = (stamps_ns[-1] - stamps_ns[0]) / 1e9
    return {
        "case": name,
        "sent": sender["sent"],
        "received": len(arrivals),
        "messages_per_s": round((len(arrivals) - 1) / span_s, 1),
        "megabytes_per_s": round((len(arrivals) - 1) * WIDTH * HEIGHT * 3 / span_s / 1e6, 1),
        "latency_p50_ms": round(float(np.percentile(ages_ms, 50)), 2),
        "latency_p95_ms": round(float(np.percentile(ages_ms, 95)), 2),
        "publisher_cpu_share": round(sender["cpu_s"] / sender["wall_s"], 3),
        "subscriber_cpu_share": round(cpu_s / max(span_s, 1e-9), 3),
    }


def main():
    """Run all cases and print a table."""
    command = parser(__doc__, with_json=True)
    command.add_argument("--seconds", type=float, default=5.0)
    command.add_argument("--publish", nargs=3, help=argparse.SUPPRESS)
    options = command.parse_args()
    from rclpy_lite.transport import loopback_environment

    if options.publish:
        reliable, rate_hz, seconds = options.publish
        publish(bool(int(reliable)), float(rate_hz), float(seconds))
        return
    os.environ.update(loopback_environment(20 + os.getpid() % 180))
    rows = [measure(*case, options.seconds) for case in CASES]
    result = described(image=f"{WIDTH}x{HEIGHT} rgb8", rows=rows)
    write_result(options.json, result)
    where = f"{result['cpu']}, {result['cores']} cores, Python {result['python']}"
    print(f"{result['date']}, commit {result['commit']}, {where}, {result['image']}")
    print(f"{'case':30}{'sent':>6}{'got':>6}{'msg/s':>8}{'MB/s':>8}{'p50 ms':>8}{'p95':>8}  cpu")
    for r in rows:
        print(
            f"{r['case']:30}{r['sent']:6}{r['received']:6}{r['messages_per_s']:8}"
            f"{r['megabytes_per_s']:8}{r['latency_p50_ms']:8}{r['latency_p95_ms']:8}"
            f"  {r['publisher_cpu_share']}/{r['subscriber_cpu_share']}"
        )


if __name__ == "__main__":
    main()
