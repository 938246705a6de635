"""Results that no study asks for any more."""

from pathlib import Path

from lmcortex import paths, reporting
from lmcortex.plan import load_plan

# Written beside the outputs, not asked for by name.
UNLISTED = ("logs", "benchmarks", "suites")


def list_orphans(config: Path) -> list[str]:
    """List the files below results/ that none of the studies in `config` asks for.

    Raises
    ------
    InputError : a study cannot be read. Its results would pass for orphans, so nothing is listed.
    """
    wanted: set[str] = set()
    for study in sorted((config / "studies").glob("*.yaml")):
        plan = load_plan({"study": study.stem}, config)
        wanted |= plan.outputs() | reporting.outputs(plan)
    root = Path(paths.RESULTS)
    found = (path for path in root.rglob("*") if path.is_file())
    listed = (path for path in found if path.relative_to(root).parts[0] not in UNLISTED)
    return sorted(str(path) for path in listed if str(path) not in wanted)
