"""Find a checkpoint's files, go online for them once if need be, and describe them for good.

Weights stay where they are: in the Hugging Face cache, in a folder, or in an installed package.
Only their description becomes part of the workflow.
"""

import json
import math
import os
import pickle
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lmcortex import storage
from lmcortex.errors import InputError
from lmcortex.models import files, ledger

if TYPE_CHECKING:
    import torch

# The hub's client reads this when it is imported. Without it, a blob may be a link into a store for
# all repositories, and weights that are removed would free nothing.
os.environ["HF_HUB_DISABLE_SHARED_BLOBS"] = "1"
ATTEMPTS = 3
T = TypeVar("T")
UNTRAINED = re.compile(r"untrained-seed(\d+)")
TOKENIZER = "tokenizer"  # stands for a checkpoint where only a tokenizer is fetched


@dataclass(frozen=True)
class Request:
    """One checkpoint of one model, and where the registry says it is."""

    model: str
    checkpoint: str
    spec: Mapping[str, Any]
    suite: Path | None = None
    budget: float = math.inf
    patience: float = 0

    @property
    def name(self) -> str:
        return f"{self.model} {self.checkpoint}"

    @property
    def seed(self) -> int | None:
        """Return the seed of fresh weights; None for a trained checkpoint."""
        match = UNTRAINED.fullmatch(self.checkpoint)
        return int(match[1]) if match else None

    def needed(self, names: list[str], where: str) -> list[str]:
        """Choose the files to keep among `names`; fresh weights need no weight files."""
        support = files.support_files(names)
        if files.CONFIG not in support:
            raise InputError(f"{self.name}: {where} has no {files.CONFIG}; is it a model?")
        if len(support) == 1 and "tokenizer" not in self.spec:
            raise InputError(f"{self.name}: {where} has no tokenizer files (tokenizer.json, ...)")
        if self.seed is not None or self.checkpoint == TOKENIZER:
            return support
        if weights := files.weight_files(names):
            return [*weights, *support]
        binaries = files.weight_files(names, "pytorch_model", "bin")
        if binaries and self.spec.get("weights") == "bin":
            return [*binaries, *support]
        advice = "set `weights: bin` for it in models.yaml to convert its .bin files"
        raise InputError(
            f"{self.name}: {where} has no safetensors weights (model.safetensors, or shards with "
            f"an index); {advice if binaries else 'choose another repository or revision'}"
        )


@dataclass(frozen=True)
class Found:
    """Files on disk: `names` in `folder`, how to find it again, what its source says of them."""

    folder: Path
    names: list[str]
    identity: Mapping[str, str]
    expected: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def fetch_checkpoint(
    model: str,
    checkpoint: str,
    spec: Mapping[str, Any],
    suite: Path | None = None,
    budget: float = math.inf,
    patience: float = 0,
) -> dict[str, Any]:
    """Make a checkpoint's files present on this machine and describe them.

    Parameters
    ----------
    model, checkpoint : names; ``untrained-seedN`` asks for configuration and tokenizer only.
    spec : ``source`` ("hub", "folder", "package" or "suite") and what that source needs: ``repo``
        and ``revision``; ``folder``; ``package`` and ``subfolder``. ``tokenizer`` names another
        repository that holds the tokenizer. ``weights: bin`` allows conversion of .bin weights;
        ``task`` and ``n_params`` are passed on.
    suite : manifest of a locally trained suite, for ``source: suite``.
    budget, patience : bytes that downloaded weights may take on this machine, and seconds to wait
        until these fit (`lmcortex.models.ledger`).

    Returns
    -------
    dict with model, checkpoint, source, repo, revision, commit, folder, package, subfolder, seed,
    task, files (``{name: {size, sha256}}``), fingerprint (SHA-256 over the digests of the weight
    files; untrained: of the configuration and the seed), n_params, tokenizer_hash; and
    ``tokenizer``, described in the same way, where that is from another repository.

    Raises
    ------
    InputError : one line for whatever keeps the files from being here and whole.
    """
    request = Request(model, checkpoint, spec, suite, budget, patience)
    found = SOURCES[spec["source"]](request)
    held = files.facts(found.folder, found.names)
    files.check_facts(found.folder, held, found.expected)
    found, held = convert_binaries(request, found, held)
    weights = [] if request.seed is not None else files.weight_files(held)
    other = fetch_tokenizer(request)
    spelling = other["tokenizer"]["files"] if other else held
    tokenizer = sorted(set(files.TOKENIZER) & spelling.keys())
    identity = dict.fromkeys(("repo", "revision", "commit", "folder", "package", "subfolder"))
    return {
        "model": model,
        "checkpoint": checkpoint,
        "source": spec["source"],
        **identity,
        **found.identity,
        "seed": request.seed,
        "task": spec.get("task"),
        "files": held,
        "fingerprint": files.combined_digest(held, weights)
        if weights
        else files.combined_digest(held, [files.CONFIG], f"seed {request.seed}"),
        "n_params": files.count_parameters(found.folder, weights)
        if weights
        else spec.get("n_params"),
        "tokenizer_hash": files.combined_digest(spelling, tokenizer),
        **other,
    }


def fetch_tokenizer(request: Request) -> dict[str, Any]:
    """Fetch the tokenizer of a model whose own repository has none; return its description."""
    if "tokenizer" not in request.spec:
        return {}
    spec = {"source": "hub", "repo": request.spec["tokenizer"]}
    found = find_on_hub(Request(request.model, TOKENIZER, spec))
    held = files.facts(found.folder, found.names)
    files.check_facts(found.folder, held, found.expected)
    described = {"model": request.model, "checkpoint": TOKENIZER, "source": "hub", "files": held}
    return {"tokenizer": {**described, "folder": None, "package": None, **found.identity}}


def restore_checkpoint(description: Mapping[str, Any], budget: float) -> None:
    """Download a checkpoint of the hub again, by its commit, as it was when it was described.

    Raises
    ------
    InputError : what came is not what was described.
    ledger.NoRoom : it does not fit in the budget, in bytes.
    """
    spec = {
        "source": "hub",
        "repo": description["repo"],
        "revision": description["commit"],
        "weights": "bin" if description["folder"] else "safetensors",
    }
    if "tokenizer" in description:
        spec["tokenizer"] = description["tokenizer"]["repo"]
    again = fetch_checkpoint(description["model"], description["checkpoint"], spec, budget=budget)
    where = Path(description["folder"] or f"{spec['repo']}@{spec['revision']}")
    files.check_facts(where, again["files"], description["files"])


def find_folder(request: Request) -> Found:
    """Find a checkpoint in a folder of this machine."""
    folder = Path(os.path.expandvars(request.spec["folder"])).expanduser()
    return found_in(folder, request, {"folder": str(folder)})


def find_package(request: Request) -> Found:
    """Find a checkpoint inside an installed Python package, without importing it."""
    identity = {"package": request.spec["package"], "subfolder": request.spec.get("subfolder", "")}
    return found_in(files.package_folder(**identity), request, identity)


def find_suite(request: Request) -> Found:
    """Find a checkpoint of a locally trained suite through the suite's manifest.

    Fresh weights take configuration and tokenizer from the first checkpoint listed.
    """
    if request.suite is None:
        raise InputError(f"{request.name}: it belongs to a suite; name its manifest with --suite")
    models = storage.read_json(request.suite)["models"]
    listed = models.get(request.model, {}).get("checkpoints", {})
    wanted = request.checkpoint if request.seed is None else next(iter(listed), "")
    if wanted not in listed:
        raise InputError(
            f"{request.suite}: no {request.name}; it holds "
            f"{', '.join(listed) if listed else 'the models ' + ', '.join(models)}"
        )
    folder = request.suite.parent / listed[wanted]["folder"]
    return found_in(folder, request, {"folder": str(folder)}, listed[wanted]["files"])


def found_in(
    folder: Path,
    request: Request,
    identity: Mapping[str, str],
    expected: Mapping[str, Mapping[str, Any]] | None = None,
) -> Found:
    if not folder.is_dir():
        raise InputError(f"{request.name}: {folder} is not a folder; correct it in models.yaml")
    names = [path.name for path in folder.iterdir() if path.is_file()]
    return Found(folder, request.needed(names, str(folder)), identity, expected or {})


def find_on_hub(request: Request) -> Found:
    """Resolve a revision on the Hugging Face hub and download the files that are needed.

    Weights are entered in the ledger first, which may have to wait for room. The access token is
    read from HF_TOKEN and from nowhere else. Under HF_HUB_OFFLINE=1 the hub's local cache must hold
    the revision already.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    repo, revision = request.spec["repo"], request.spec.get("revision") or "main"
    where = f"{repo} at {revision}"
    if constants.HF_HUB_OFFLINE:
        return find_in_cache(request, repo, revision)
    token = os.environ.get("HF_TOKEN") or False
    info = online(
        lambda: HfApi().model_info(repo, revision=revision, files_metadata=True, token=token), where
    )
    listed = {file.rfilename: file for file in info.siblings or []}
    expected = {
        name: {"size": file.size, "sha256": file.lfs.sha256 if file.lfs else None}
        for name, file in listed.items()
    }
    names = request.needed(list(expected), where)
    commit = str(info.sha)
    weights = {
        name: (str(expected[name]["sha256"] or listed[name].blob_id), int(listed[name].size or 0))
        for name in set(names) - set(files.support_files(names))
    }
    wanted = ledger.download(request.model, request.checkpoint, repo, commit, weights)
    if wanted.sizes:
        ledger.reserve(wanted, request.budget, request.patience)
    folder = Path()
    for name in names:
        path = online(
            lambda name=name: hf_hub_download(repo, name, revision=revision, token=token),
            f"{where}: {name}",
        )
        folder = Path(path).parent
        if folder.name != commit:
            raise InputError(f"{where}: it moved on while being fetched; run again")
    return Found(folder, names, {"repo": repo, "revision": revision, "commit": commit}, expected)


def find_in_cache(request: Request, repo: str, revision: str) -> Found:
    """Find a revision in the hub's local cache, without going online."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, files.CONFIG, revision=revision)
    if not isinstance(path, str):
        raise InputError(
            f"{request.name}: {repo} at {revision} is not in the Hugging Face cache and "
            "HF_HUB_OFFLINE is set; fetch it once on a machine that is online"
        )
    folder = Path(path).parent
    names = request.needed([entry.name for entry in folder.iterdir()], str(folder))
    return Found(folder, names, {"repo": repo, "revision": revision, "commit": folder.name})


def online(call: Callable[[], T], what: str) -> T:
    """Call the hub, again when the line drops, and say in one line what went wrong.

    The hub's client resumes a body that breaks off; what reaches this function is a line that
    stayed down or was reset.
    """
    import httpx
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    attempt = 0
    while True:
        attempt += 1
        try:
            return call()
        except GatedRepoError as error:
            raise InputError(
                f"{what}: access is restricted; ask for it on the model's page and set HF_TOKEN"
            ) from error
        except RevisionNotFoundError as error:
            raise InputError(f"{what}: the repository has no such revision") from error
        except RepositoryNotFoundError as error:
            raise InputError(
                f"{what}: no such repository, or a private one (then set HF_TOKEN)"
            ) from error
        except (httpx.TransportError, HfHubHTTPError, LocalEntryNotFoundError) as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code < 500:
                raise InputError(f"{what}: the hub refused ({one_line(error)})") from error
            if attempt == ATTEMPTS:
                raise InputError(
                    f"{what}: the connection to the hub failed {attempt} times "
                    f"({one_line(error)}); run again when it is back"
                ) from error
            print(f"{what}: {one_line(error)}; trying again", file=sys.stderr)
        except OSError as error:
            if error.errno is not None:
                raise
            # The client raises a bare OSError when the file that came is not as long as announced.
            raise InputError(f"{what}: it did not arrive whole ({one_line(error)})") from error
        time.sleep(2**attempt)


def one_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def convert_binaries(
    request: Request, found: Found, held: files.Facts
) -> tuple[Found, files.Facts]:
    """Convert .bin weights to safetensors in a local cache; return `found` if there are none.

    A .bin file is a pickle. It is read with ``weights_only=True``, which runs no code from it, and
    only for a registry entry that opted in.
    """
    binaries = files.weight_files(found.names, "pytorch_model", "bin")
    if not binaries:
        return found, held
    from huggingface_hub import constants
    from safetensors.torch import save_file

    digest = files.combined_digest(held, binaries)
    folder = Path(constants.HF_HOME) / "lmcortex" / f"{request.model}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    names = [safetensors_name(name) for name in binaries]
    if request.spec["source"] == "hub":
        sizes = {folder / safetensors_name(name): held[name]["size"] for name in binaries}
        made = ledger.entry_of(request.model, request.checkpoint, sizes)
        ledger.reserve(made, request.budget, request.patience)
    for binary, name in zip(binaries, names, strict=True):
        with storage.replacing(folder / name) as temporary:
            if binary.endswith(".json"):
                index = json.loads((found.folder / binary).read_text("utf-8"))
                shards = {key: safetensors_name(file) for key, file in index["weight_map"].items()}
                temporary.write_text(json.dumps({"weight_map": shards}, sort_keys=True))
            else:
                state = load_binary(found.folder / binary)
                # Tied tensors share storage, which safetensors refuses.
                tensors = {key: value.clone().contiguous() for key, value in state.items()}
                save_file(tensors, temporary, {"format": "pt"})
    support = files.support_files(found.names)
    for name in support:
        shutil.copyfile(found.folder / name, folder / name)
    names += support
    identity = {**found.identity, "folder": str(folder)}
    return Found(folder, names, identity), files.facts(folder, names)


def load_binary(path: Path) -> "dict[str, torch.Tensor]":
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            f"{path}: not a whole file of plain tensors ({one_line(error)}); "
            "delete it and fetch again"
        ) from error


def safetensors_name(binary: str) -> str:
    return binary.replace("pytorch_model", "model").replace(".bin", ".safetensors")


SOURCES: dict[str, Callable[[Request], Found]] = {
    "hub": find_on_hub,
    "folder": find_folder,
    "package": find_package,
    "suite": find_suite,
}
