"""Parts of a gallery on a Dask cluster: the bytes of one process, also when a worker is killed meanwhile."""

import shutil
import threading

import pytest

from stages.datasets import load_dataset
from stages.reid import Embedder, append, embed
from stages.reid.embed_config import EmbedConfig
from stages.reid.search.gallery_index import read_index
from tests.stages.cluster import kill_busy, two_workers
from tests.stages.pose import tiny
from tests.stages.reid.own import write_run
from tests.stages.reid.test_append import film

distributed = pytest.importorskip("distributed", reason="pip install -r requirements/cluster.txt")
ALONE = EmbedConfig(part_size=1, threads=1, workers=0)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder, an embedder and a data set of twelve tracklets."""
    folder = tmp_path_factory.mktemp("dask")
    run = write_run(folder / "run", tiny.write_estimator(folder / "estimator"))
    data = load_dataset("folder", film(folder / "clips", "door", 23, tracks=12))
    return folder, Embedder(run, device="cpu"), data


@pytest.fixture
def cluster(tmp_path):
    with two_workers(tmp_path) as made:
        yield made[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_that_loses_a_worker_makes_the_parts_of_one_process(cluster, work):
    folder, embedder, data = work
    expected = append.run(embedder, data, "all", folder / "alone", folder / "one", ALONE).parts
    for poses in folder.glob("alone@*"):  # workers make these, too
        shutil.rmtree(poses)
    many, killed = ALONE.model_copy(update={"scheduler": cluster}), []

    with distributed.Client(cluster, set_as_default=False) as client:
        killer = threading.Thread(target=kill_busy, args=(client, folder / "two", "part-*", 500, killed))
        killer.start()
        made = append.run(embedder, data, "all", folder / "alone", folder / "two", many).parts
        killer.join()
    assert killed and killed[0] < 12, "the worker was killed too late to matter"
    assert [part.sha256 for part in made] == [part.sha256 for part in expected]
    assert read_index(folder / "two").parts == tuple(made)


@pytest.mark.timeout(600)
def test_a_file_made_by_processes_is_the_file_of_one(work):
    folder, embedder, data = work
    one = embed.run(embedder, data, "all", folder / "poses", folder / "one.h5", ALONE).read_bytes()
    (folder / "one.h5").unlink()
    two = ALONE.model_copy(update={"processes": 2})
    assert embed.run(embedder, data, "all", folder / "poses", folder / "one.h5", two).read_bytes() == one
    assert not (folder / "one.h5.parts").exists()
