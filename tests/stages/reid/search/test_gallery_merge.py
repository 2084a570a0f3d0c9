"""Galleries of independent jobs are together what one job makes; what is missing or other is named."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from cache.errors import KeyReIDError
from stages.datasets import load_dataset
from stages.pose.parts import Share
from stages.reid import Embedder, append
from stages.reid.embed_config import EmbedConfig
from stages.reid.search.gallery_file import load_gallery
from stages.reid.search.gallery_folder import verify, writing
from stages.reid.search.gallery_index import read_index
from stages.reid.search.gallery_merge import merge
from tests.stages.pose import tiny
from tests.stages.reid.own import write_run
from tests.stages.reid.test_append import film

CONFIG = EmbedConfig(part_size=2, workers=0)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A folder with the gallery `one` of seven tracklets, and `people` of the same in three jobs."""
    folder = tmp_path_factory.mktemp("jobs")
    embedder = Embedder(write_run(folder / "run", tiny.write_estimator(folder / "estimator")), device="cpu")
    data = load_dataset("folder", film(folder / "clips", "door", 23, tracks=7))
    append.run(embedder, data, "all", folder / "poses", folder / "one", CONFIG)
    for number in (2, 3, 1):
        append.run(embedder, data, "all", folder / "poses", folder / "people", CONFIG, Share(number, 3))
    return folder, embedder, data


@pytest.fixture
def people(jobs, tmp_path):
    for path in jobs[0].glob("people.*"):
        shutil.copytree(path, tmp_path / path.name)
    return tmp_path / "people"


def test_jobs_put_together_are_byte_for_byte_the_gallery_of_one(jobs, people):
    for _ in range(2):
        before = read_index(people).tracklets if people.exists() else 0
        assert merge(people) == (7 - before, before)
        one = read_index(jobs[0] / "one")
        assert [part.sha256 for part in read_index(people).parts] == [part.sha256 for part in one.parts]
        assert verify(people) == [] and read_index(people).share is None


def test_missing_unfinished_and_damaged_jobs_are_named(people):
    second = Share(2, 3).path(people)
    index = second / "gallery.json"
    share = json.loads(index.read_text())["share"]
    index.write_text(json.dumps(json.loads(index.read_text()) | {"share": None}))
    with pytest.raises(KeyReIDError, match=r"part-2-of-3: not finished; run the job with --part 2/3 again"):
        merge(people)
    index.write_text(json.dumps(json.loads(index.read_text()) | {"share": share, "parts": []}))
    with pytest.raises(KeyReIDError, match=r"part-2-of-3: not finished; run the job with --part 2/3 again"):
        merge(people)
    shutil.rmtree(second)
    with pytest.raises(KeyReIDError, match=r"part 2 of 3 is missing; run the job with --part 2/3"):
        merge(people)
    shutil.copytree(Share(1, 3).path(people), second)
    part = next(second.glob("part-*.h5"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(KeyReIDError, match=rf"{part.name}: missing or damaged; .*--part 2/3 again"):
        merge(people)
    assert not people.exists()


def test_jobs_of_other_work_are_refused(jobs, people):
    folder, embedder, data = jobs
    second = Share(2, 3).path(people)
    for change, says in (
        ({"threads": 3}, "threads: . -> 3"),
        ({"part_size": 1}, "data set and --part-size"),
        ({"half": True}, "half precision: false -> true"),
    ):
        shutil.rmtree(second)
        config = CONFIG.model_copy(update=change)
        append.run(embedder, data, "all", folder / "poses", people, config, Share(2, 3))
        with pytest.raises(KeyReIDError, match=f"part-2-of-3/part-.*: not of the same work as .*{says}"):
            merge(people)
    with pytest.raises(KeyReIDError, match="--part 1/9: nothing is left for it; use fewer parts"):
        append.run(embedder, data, "all", folder / "poses", people, CONFIG, Share(1, 9))


@pytest.mark.parametrize("number", [1, 2])
def test_a_later_part_of_a_job_that_was_made_in_another_way_is_refused(jobs, people, number):
    with writing(Share(number, 3).path(people)) as writer:
        share, (part, *_) = writer.index.share, writer.index.parts
        made = load_gallery(writer.folder / part.file)
        poses = made.about["poses"] | {"weights_sha256": "f" * 64}
        digests = np.zeros((len(made), 16), np.uint8)
        writer.add(replace(made, about=made.about | {"poses": poses}), content=digests, stamp=digests)
        assert read_index(writer.folder).share is None  # a job that goes on has not finished
        writer.mark(share)
    with pytest.raises(KeyReIDError, match=f"part-{number}-of-3/part-.* not of the same .*pose network: .*f"):
        merge(people)
    assert not people.exists()


def test_a_tracklet_that_two_jobs_have_is_taken_once(jobs, people):
    folder, embedder, _ = jobs
    same = shutil.copytree(folder / "clips", people.with_name("clips"))
    shutil.copytree(same / "door-0001", same / "door-0009")  # under another name, in another job
    data = load_dataset("folder", same)
    for number in (1, 2, 3):
        shutil.rmtree(Share(number, 3).path(people))
        append.run(embedder, data, "all", people.with_name("poses"), people, CONFIG, Share(number, 3))
    assert merge(people) == (7, 1)
    assert read_index(people).tracklets == 7 and verify(people) == []
