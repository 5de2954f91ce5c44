"""Run folders, the only hand-over from training to evaluation, designing and export.

folder: files and manifest; recommender_run: `Run`; gan_run: `GanRun`; explanation: where a score comes from;
new_items: items added to a run without training.
"""

from tfdvbpr.run.folder import (
    CONFIG_NAME,
    DISCRIMINATOR_NAME,
    FACTORS_NAME,
    FORMAT_VERSION,
    GENERATOR_NAME,
    HISTORY_NAME,
    INTERACTIONS_NAME,
    ITEMS_NAME,
    MANIFEST_NAME,
    METRICS_NAME,
    USERS_NAME,
    WEIGHTS_NAME,
    RunKind,
    RunManifest,
    new_manifest,
    write_run_header,
)
from tfdvbpr.run.gan_run import GanRun
from tfdvbpr.run.recommender_run import Recommendation, Run, write_recommender_tables

__all__ = [
    "CONFIG_NAME",
    "DISCRIMINATOR_NAME",
    "FACTORS_NAME",
    "FORMAT_VERSION",
    "GENERATOR_NAME",
    "HISTORY_NAME",
    "INTERACTIONS_NAME",
    "ITEMS_NAME",
    "MANIFEST_NAME",
    "METRICS_NAME",
    "USERS_NAME",
    "WEIGHTS_NAME",
    "GanRun",
    "Recommendation",
    "Run",
    "RunKind",
    "RunManifest",
    "new_manifest",
    "write_recommender_tables",
    "write_run_header",
]
