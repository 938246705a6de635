"""Figures of a study, one module per family; each draws what the study's tables say."""
