"""What a training step asks of a device: it reads nothing back between records, and launches few operations.

On a GPU every number that is read waits for all pending work. Reads are counted here without one: by what
they are called in Python and in torch, and by running on the meta device, which has no numbers to give.
"""

import collections
import contextlib
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stages.reid.data.augment import normalise
from stages.reid.model import KeyReID
from stages.reid.model.drop_path import KeyedDropPath, draw_drops, frame_keys
from stages.reid.model.keyed_random import keyed_uniform
from stages.reid.training.config import LossConfig
from stages.reid.training.objective import Objective
from stages.reid.training.watch import NotFiniteError
from tests.stages.reid.model.tiny import tiny_clips, tiny_model
from tests.stages.reid.steps import batch, steps, trainer

READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__")
VIEWS = {
    "detach", "view", "t", "transpose", "unsqueeze", "expand", "select", "slice", "alias", "unbind",
    "permute", "squeeze", "_unsafe_view", "split", "as_strided",
}  # fmt: skip
WAITING = {"_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2"}


class Counter(TorchDispatchMode):
    """Counts operations by name, and uploads: tensors that are made of Python's numbers."""

    def __enter__(self):
        self.names = collections.Counter()
        return super().__enter__()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names[function.overloadpacket.__name__] += 1
        return function(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def cameras_are_not_looked_at(monkeypatch):
    """As in training on a GPU: those of all tracklets are checked before the first step."""
    monkeypatch.setattr(KeyReID, "check_cameras", lambda self, cameras: None)


def counted(run):
    """(operations by name, reads by name) of a call."""
    reads = collections.Counter()

    def spy(name):
        plain = getattr(torch.Tensor, name)

        def read(self, *args, **named):
            reads[name] += 1
            return plain(self, *args, **named)

        return mock.patch.object(torch.Tensor, name, read)

    patches = [spy(name) for name in READS]
    for patch in patches:
        patch.start()
    try:
        with Counter() as counter:
            run()
    finally:
        for patch in patches:
            patch.stop()
    return counter.names, reads


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("triplet_on", ["feature", "joined"])
def test_a_step_without_a_record_reads_nothing_and_uploads_nothing(name, triplet_on):
    trained = trainer(optim={"name": name, "clip_norm": 1.0}, loss={"triplet_on": triplet_on})
    steps(trained, range(2))
    data = batch(2)
    names, reads = counted(lambda: trained.step(data, 0, 2, read=False))
    assert not reads and not WAITING & names.keys(), (reads, names)
    assert names["lift_fresh"] == 0, "a tensor made of numbers has to be uploaded"
    names, reads = counted(lambda: trained.step(data, 0, 3))
    assert reads == {"tolist": 1}


def test_forward_losses_and_backward_run_where_no_number_can_be_read(monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **named: contextlib.nullcontext())  # knows no meta
    model = tiny_model(drop_path=0.3, tcss="time", part_depth=1)
    images, maps, _ = (value.to("meta") for value in tiny_clips(model))
    on_meta = Objective(model, LossConfig(triplet_on="embedding")).to("meta").train()
    for path in on_meta.modules():
        if isinstance(path, KeyedDropPath):
            path.drawn = None
    data = {
        "images": images, "part_maps": maps, "cameras": None, "keys": None,
        "persons": torch.zeros(3, dtype=torch.int64, device="meta"),
        "erased": torch.zeros(3, 4, device="meta"),
    }  # fmt: skip
    total, details, _ = on_meta(data)
    total.backward()
    assert all(value.device.type == "meta" for value in details.values())


def test_one_hash_draws_for_all_drop_paths_what_each_would_draw():
    paths = [KeyedDropPath(0.1 * n, n) for n in range(1, 9)]
    keys = frame_keys(torch.arange(6), 4)
    names, _ = counted(lambda: draw_drops(paths[:1], keys))
    several, _ = counted(lambda: draw_drops(paths, keys))
    assert several.total() <= names.total() + 8
    for path in paths:
        assert torch.equal(path.drawn, keyed_uniform(keys, path.salt))


def test_operations_of_a_step_do_not_creep_up():
    """What is launched on a device, views left out, for a ViT of 12 tiny blocks; it was 2,650 before."""
    trained = trainer(model={"backbone_args": {"depth": 12}}, optim={"name": "sgd"})
    steps(trained, range(2))
    data = batch(2)
    names, _ = counted(lambda: trained.step(data, 0, 2, read=False))
    assert sum(n for name, n in names.items() if name not in VIEWS) < 1850


def test_normalising_uploads_nothing_and_launches_little():
    frames = torch.zeros(200, 3, 8, 4, dtype=torch.uint8, device="meta")
    rectangles = torch.ones(200, 4, dtype=torch.int64, device="meta")
    names, reads = counted(lambda: normalise(frames, rectangles, (0.5,) * 3, (0.5,) * 3, (1.0, 2.0, 3.0)))
    assert not reads and names["lift_fresh"] == 0
    assert sum(n for name, n in names.items() if name not in VIEWS) < 25, "whatever the number of rectangles"


def test_a_step_that_was_not_finite_is_found_at_the_next_reading_with_its_numbers():
    trained = trainer()
    steps(trained, range(1))
    for number in range(1, 6):
        data = batch(number)
        if number == 3:
            data["images"][0] = torch.nan
        if number < 5:
            assert trained.step(data, 0, number, read=False).details == {}
    with pytest.raises(NotFiniteError) as caught:
        trained.step(data, 0, 5)
    assert caught.value.before == 2, "two steps after the last reading were finite"
    assert caught.value.details["loss"] != caught.value.details["loss"]
