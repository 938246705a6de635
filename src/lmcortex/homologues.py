"""The two sides of a region, held to be mirror images of each other; and what lies between them."""

import numpy as np
import pandas as pd

from lmcortex.errors import InputError

MIDLINE = "M"  # hemisphere of targets at x = 0, which are on neither side
ON_MIDLINE = 1e-3  # mm
MOST_APART = 10.0  # mm; homologous parcels of anatomical atlases differ by less


def pair_sides(targets: pd.DataFrame, where: str) -> pd.DataFrame:
    """Pair the left and the right side of each ROI that has both.

    Left minus right compares regions of one name. Atlases whose numbers run on their own on each
    side (Schaefer's, for one) give one name to different regions, which only their places tell.

    Parameters
    ----------
    targets : ``roi``, ``hemisphere``, ``x``, ``y``, ``z`` (mm); those without a place are left out.
    where : file or dataset, for messages.

    Returns
    -------
    ``roi``, and ``apart``: from the left centroid, mirrored, to the right one, mm.

    Raises
    ------
    InputError : a target on the other side than it says, or sides that are too far apart.
    """
    placed = targets[targets["x"].notna()]
    x, side = placed["x"], placed["hemisphere"]
    astray = np.select([side == "L", side == "R"], [x > 0, x < 0], x.abs() > ON_MIDLINE)
    if astray.any():
        wrong = placed[astray].iloc[0]
        raise InputError(
            f"{where}: target `{wrong['target']}` is of hemisphere {wrong['hemisphere']} but lies "
            f"at x = {wrong['x']:g} mm, on the other side; left is x < 0, and {MIDLINE} is x = 0"
        )
    centres = placed.groupby(["hemisphere", "roi"])[["x", "y", "z"]].mean()
    sides = [centres.loc[side] if side in centres.index else centres.iloc[:0] for side in "LR"]
    left, right = sides[0] * [-1.0, 1.0, 1.0], sides[1]
    rois = left.index.intersection(right.index)
    apart = np.linalg.norm(left.loc[rois].to_numpy() - right.loc[rois].to_numpy(), axis=1)
    if (apart > MOST_APART).any():
        worst = int(apart.argmax())
        away = np.linalg.norm(right.to_numpy() - left.loc[rois[worst]].to_numpy(), axis=1)
        nearest = right.index[away.argmin()]
        raise InputError(
            f"{where}: the left and the right side of roi `{rois[worst]}` are no mirror images: "
            f"their centres are {apart[worst]:.0f} mm apart (at most {MOST_APART:.0f}), and that "
            f"of `{nearest}` is {away.min():.0f} mm away; name homologous regions alike, and "
            "others differently"
        )
    return pd.DataFrame({"roi": rois, "apart": apart})


def halve_midline(hemisphere: np.ndarray) -> np.ndarray:
    """Give the first half of the midline to the left and the rest to the right.

    Bonnasse-Gahot and Pallier (2024) call the first half of all voxels of a symmetric mask, in its
    order, left: the voxels at x < 0 and, of those at x = 0, the posterior half.

    Parameters
    ----------
    hemisphere : (n_targets,) of each target, in the order of the mask.

    Returns
    -------
    (n_targets,), of L and R alone.
    """
    halved = hemisphere.copy()
    midline = np.flatnonzero(hemisphere == MIDLINE)
    first = len(midline) // 2
    halved[midline[:first]], halved[midline[first:]] = "L", "R"
    return halved
