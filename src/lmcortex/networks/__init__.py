"""Functional organization: sub-groups of artificial neurons and the brain networks they drive."""
