"""The whole way, once, on made-up data whose truth is known: `tfdvbpr demo`."""

from tfdvbpr.demo.walk import run_demo

__all__ = ["run_demo"]
