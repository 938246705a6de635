"""What follows from the scores: study tables that read `scores` and `draws`, and fit nothing."""

from lmcortex.statistics.collect import collect_draws, collect_scores
from lmcortex.statistics.contrasts import contrast_models
from lmcortex.statistics.controls import control_scaling
from lmcortex.statistics.emergence import contrast_lateralization
from lmcortex.statistics.lateralization import fit_lateralization
from lmcortex.statistics.scaling import fit_scaling
from lmcortex.statistics.training import track_training

__all__ = [
    "collect_draws",
    "collect_scores",
    "contrast_lateralization",
    "contrast_models",
    "control_scaling",
    "fit_lateralization",
    "fit_scaling",
    "track_training",
]
