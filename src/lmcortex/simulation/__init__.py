"""Simulated datasets: stimuli, responses in which effects are planted, and their recovery."""
