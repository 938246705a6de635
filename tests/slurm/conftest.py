"""The cluster that the tests of a session share."""

from collections.abc import Iterator

import pytest
from cluster import Cluster, ClusterError


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
            yield cluster
    except ClusterError as error:
        pytest.fail(str(error), pytrace=False)
