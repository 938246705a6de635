"""Hidden states of a model as features of sentences and of the words of a story."""

from lmcortex.features.extract import Features, extract, extract_neurons
from lmcortex.features.sentences import sentence_features
from lmcortex.features.stories import story_features

__all__ = ["Features", "extract", "extract_neurons", "sentence_features", "story_features"]
