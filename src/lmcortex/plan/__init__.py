"""What a study asks for: which cells and which files, with everything looked up and checked."""

from lmcortex.plan.asked import Cell, Run
from lmcortex.plan.files import TABLES, Plan
from lmcortex.plan.load import load_plan
from lmcortex.plan.maps import LEAST_SIZES
from lmcortex.plan.networks import NETWORK_TABLES

__all__ = ["LEAST_SIZES", "NETWORK_TABLES", "TABLES", "Cell", "Plan", "Run", "load_plan"]
