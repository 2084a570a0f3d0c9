"""A file's tests are at the same path under tests/, and no test file is at a path of nothing.

What a whole room, command or stage promises, whatever file of it does it, is in the files of WHOLE.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("cache", "stages", "pipeline", "benchmarks", "docs/tools")
WHOLE = {
    "tests": {
        "fuzz_formats",
        "imports",
        "mirror",
        "records_of_others",
        "requirements",
        "terminal_border",
        "walks",
    },
    "tests/cache": {"fuzz", "hostile"},
    "tests/docs": {"benchmarks", "blocks", "docs", "measured"},
    "tests/stages": {"frame_fuzz"},
    "tests/stages/browse": {"browser"},
    "tests/stages/datasets": {"fuzz"},
    "tests/stages/datasets/walkers": {"walkers"},
    "tests/stages/export": {"export"},
    "tests/stages/pose": {
        *(
            "alignment",
            "damage",
            "dask",
            "decoding",
            "extract_benchmark",
            "full_disk",
            "fuzz",
            "kill",
            "packages",
        ),
    },
    "tests/stages/reid": {"dask", "evaluate_network", "full_disk", "kill", "train_bad_input"},
    "tests/stages/reid/model": {"fused_attention", "guidance", "plain_equality", "quirks"},
    "tests/stages/reid/scoring": {"mars_golden"},
    "tests/stages/reid/search": {"link"},
    "tests/stages/reid/training": {"scaler", "waits"},
    "tests/stages/report": {"browser", "parts", "report"},
    "tests/stages/tracks": {"damage"},
}
# Files that have tests of their own; those of the others are among the tests of what uses them.
OWN = """
cache: differences files folder lock reader verify
pipeline: ablation cli config launch options settings
stages: device figure_file frame_file parts splitmix terminal torchscript weights_file workers
stages/datasets: checkup files folder listed market1501 mars matlab times two_cameras
stages/pose: estimator extract fit fit_photos frame_names geometry importing keypoint_files progress sources
stages/tracks: cut decode motfile track
stages/reid: answer append embed embed_parts embedder evaluate probe train
stages/reid/data: augment clips loader part_maps sampler
stages/reid/model: backbone config global_branch keyed_random keyreid local_branch neck patch_grid published
stages/reid/model: published_maps summary tcss vit_families vit_file vit_weights weights
stages/reid/scoring: baselines compare embed_set embeddings metrics provenance rerank score statistics
stages/reid/probing: evidence interventions
stages/reid/search: answers blocks calibration gallery gallery_merge search
stages/reid/training: checkpoint monitor objective processes resume trainer
"""


def every_test_file() -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("path", every_test_file(), ids=str)
def test_every_test_file_is_the_mirror_of_a_file_or_named_here(path):
    name, folder = path.stem.removeprefix("test_"), path.parent.relative_to("tests")
    if folder == Path("pipeline"):  # commands as a user calls them, several in one test
        return
    mirrored = (ROOT / folder / f"{name}.py").is_file() and str(folder).startswith(SOURCES)
    assert mirrored != (name in WHOLE.get(path.parent.as_posix(), ())), f"{path} mirrors no file"


@pytest.mark.parametrize("line", OWN.strip().splitlines())
def test_files_that_matter_have_tests_at_their_own_path(line):
    folder, names = line.split(": ")
    for name in names.split():
        assert (ROOT / folder / f"{name}.py").is_file(), (
            f"{folder}/{name}.py is gone: take it out of the list"
        )
        assert (ROOT / "tests" / folder / f"test_{name}.py").is_file(), f"{folder}/{name}.py"
