"""Language models and the human brain, as one re-runnable workflow."""
