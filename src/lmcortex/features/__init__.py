"""Hidden states of a model as features of sentences and of the words of a story."""

from lmcortex.features.extract import Features, extract, extract_neurons
from lmcortex.features.grams import Grams, read_grams
from lmcortex.features.sentences import sentence_features, sentence_grams
from lmcortex.features.stories import story_features

__all__ = [
    "Features",
    "Grams",
    "extract",
    "extract_neurons",
    "read_grams",
    "sentence_features",
    "sentence_grams",
    "story_features",
]
