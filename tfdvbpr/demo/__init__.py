"""`tfdvbpr demo`: everything once, on synthetic data whose preferences are known.

walk: the steps; report: images of several users and the HTML page; checks: known colours, and served answers.
"""

from tfdvbpr.demo.walk import run_demo

__all__ = ["run_demo"]
