"""The pose weights in the repository find the joints of walkers they have never seen."""

from functools import partial
from pathlib import Path

from stages.datasets.walkers import make
from stages.datasets.walkers.config import WalkersConfig
from stages.pose.config import load_spec
from stages.pose.estimator import build_network
from stages.pose.fit import predict
from stages.pose.pck import measure
from stages.pose.weights import find_weights, load_into


def test_pck_on_held_out_walkers_is_at_least_95_percent(tmp_path: Path):
    """Other seed, other identities, other cameras; occluders included; a twentieth of the frame height."""
    config = WalkersConfig(seed=77, identities=16, cameras=4, tracklets=1, distractors=0, junk=0)
    root = make.run(config, tmp_path / "walkers")
    spec = load_spec("walkers")
    network = build_network(spec, initialise=False)
    load_into(network, find_weights(spec)[0])
    found = measure(partial(predict, network), root, every=3)
    assert found.frames > 200
    assert found.share >= 0.95, f"PCK {found.share:.4f}; by joint {found.per_joint.round(3)}"
