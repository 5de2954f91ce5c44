"""Run folders, the only hand-over from training to evaluation, designing and export.

folder: files and manifest; recommender_run: `Run`; gan_run: `GanRun`; explanation: where a score comes from;
new_items: items added to a run without training.
"""

from tfdvbpr.run.gan_run import GanRun
from tfdvbpr.run.recommender_run import Run

__all__ = ["GanRun", "Run"]
