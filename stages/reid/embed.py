"""Embedding: tracklets in, a gallery file out, stage one included."""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path

from cache.errors import KeyReIDError
from cache.files import TEMPORARY, make_folder, prepare_file
from cache.lock import LOCK, lock_folder
from stages.datasets.tracklet import Dataset
from stages.extras import CLUSTER
from stages.reid.embed_config import EmbedConfig
from stages.reid.embed_inputs import chosen_of, poses_of
from stages.reid.embed_parts import Work, cut, embed_parts, sound_parts
from stages.reid.embedder import Embedder
from stages.reid.scoring.embed_set import Progress, pose_record, silent
from stages.reid.scoring.embeddings_file import read_about, write_joined
from stages.reid.search.gallery_file import load_gallery
from stages.reid.search.gallery_index import is_part_file

OWNER = "parts of a gallery file"


def run(
    embedder: Embedder,
    dataset: Dataset,
    subset: str,
    cache: Path,
    output: Path,
    config: EmbedConfig | None = None,
    *,
    own: bool = False,
    progress: Progress = silent,
) -> Path:
    """Embed the tracklets of a subset (of SUBSETS) into a gallery file; returns its path.

    Tracklets are embedded in parts, each written whole into the folder OUTPUT.parts, and joined at the end: a
    run that is killed has lost the parts it was at, and the same call goes on and makes the same file. A file
    that says in its header that it holds all this is left as it is; its bytes are not verified.
    cache: folder of the poses, filled by stage one where it is empty. own: tracklets of your own, which a
    new import may have changed: stage one then compares the cache with the frames.
    Raises KeyReIDError, before any network runs, for what does not fit together.
    """
    config = config or EmbedConfig()
    if config.scheduler is not None:
        CLUSTER.check()
    prepare_file(output)
    chosen = chosen_of(dataset, subset)
    pose = embedder.pose
    if pose is not None and config.scheduler is not None:
        pose = pose.model_copy(update={"scheduler": config.scheduler})
    poses = poses_of(pose, dataset, cache, own, config.redo_poses)
    folder = output.with_name(f"{output.name}.parts")
    make_folder(folder)
    strange = [
        p.name for p in folder.iterdir() if not (is_part_file(p) or p.name == LOCK or p.suffix == TEMPORARY)
    ]
    if strange:
        raise KeyReIDError(
            f"{folder}: has {strange[0]}, and is needed for parts of {output.name}; move it away"
        )
    with lock_folder(folder, OWNER) as token:
        work = Work.of(embedder, dataset, folder, token, config, poses)
        tasks = [work.task(number, some) for number, some in enumerate(cut(chosen, config.part_size))]
        wanted = {task.key: task.number for task in tasks}
        origin = {"checkpoint": embedder.checkpoint.about(), "poses": pose_record(poses)}  # may have moved
        whole = hashlib.sha256(json.dumps([*wanted, origin]).encode()).hexdigest()
        with contextlib.suppress(KeyReIDError):  # no file there, or another one
            if read_about(output).get("key") == whole:
                shutil.rmtree(folder)
                return output
        paths = {wanted[key]: path for key, path in sound_parts(folder.iterdir()).items() if key in wanted}
        for path in set(folder.iterdir()) - {*paths.values(), folder / LOCK}:
            path.unlink()
        todo = [task for task in tasks if task.number not in paths]
        paths |= dict(embed_parts(todo, embedder, config, progress))
        write_joined([paths[task.number] for task in tasks], output, key=whole, **origin)
        shutil.rmtree(folder)
    return output


def summary(gallery: Path) -> str:
    """What a gallery file holds, in a line."""
    made = load_gallery(gallery, stored=True)
    return (
        f"{gallery}: {len(made)} tracklets, {made.features.shape[1]} numbers each, "
        f"camera {made.about['camera']}, {made.about.get('precision', 'fp32')}, "
        f"checkpoint {made.checkpoint[:12]}, {gallery.stat().st_size / 1e6:.1f} MB"
    )
