"""How far back a unit of a model remembers, by what a swapped word changes in it.

Skrill & Norman-Haignere 2023, *Large language models transition from integrating across
position-yoked, exponential windows to structure-yoked, power-law windows*, Adv. NeurIPS 36:638-654.
"""
