"""The shape of a sentence in a model: how its tokens' states spread, and how their path turns."""

from lmcortex.geometry.curvature import curvatures
from lmcortex.geometry.entropy import entropies
from lmcortex.geometry.measure import Geometry, measure_geometry, measure_passages
from lmcortex.geometry.passages import story_passages
from lmcortex.geometry.variants import CURVATURES, ENTROPIES, KEY, MEASURES

__all__ = [
    "CURVATURES",
    "ENTROPIES",
    "KEY",
    "MEASURES",
    "Geometry",
    "curvatures",
    "entropies",
    "measure_geometry",
    "measure_passages",
    "story_passages",
]
