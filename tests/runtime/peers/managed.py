"""A lifecycle node with parameters and a service, spun in a process of its own."""

import sys

import rclpy_lite
from rclpy_lite.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy_lite.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy_lite.messages import get_message, get_service

SetBool = get_service("std_srvs/srv/SetBool")
Descriptor = get_message("rcl_interfaces/msg/ParameterDescriptor")
FloatingPointRange = get_message("rcl_interfaces/msg/FloatingPointRange")


class Managed(LifecycleNode):
    def __init__(self):
        super().__init__("managed")
        limits = FloatingPointRange(from_value=0.0, to_value=10.0)
        self.declare_parameter("rate", 2.5, Descriptor(floating_point_range=[limits]))
        self.declare_parameter("camera.name", "front", Descriptor(read_only=True))
        self.declare_parameter("fail", "")
        self.create_service(SetBool, "switch", self.switch)

    def switch(self, request, response):
        response.success = not request.data
        response.message = "managed"
        return response

    def _answer(self, step):
        wanted = self.get_parameter("fail").value
        if wanted == f"{step}:raise":
            raise ValueError("asked to")
        if wanted == f"{step}:failure":
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state):
        return self._answer("configure")

    def on_error(self, state):
        print("on_error from", state.label)
        return self._answer("error")


def main():
    code = 0
    with rclpy_lite.init(args=sys.argv):
        executor = MultiThreadedExecutor(3)
        executor.add_node(Managed())
        try:
            print("ready")
            executor.spin()
        except KeyboardInterrupt:
            print("interrupted")
        except ExternalShutdownException:
            print("shut down from outside")
        executor.shutdown()
    print("left")
    return code


sys.exit(main())
