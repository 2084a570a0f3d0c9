"""What a run was made with, and what counts as a change of it."""

import pytest

from cache.errors import KeyReIDError
from stages.reid.model import ModelConfig
from stages.reid.training.config import TrainConfig
from stages.reid.training.identity import START, Identity, changes, check_same_run


def identity(**augment):
    train = TrainConfig(augment=augment).model_dump(mode="json")
    return Identity(train, ModelConfig().model_dump(mode="json", exclude=START), {"dataset": "walkers"}, 5)


def test_settings_that_an_earlier_version_did_not_have_count_as_their_defaults(tmp_path):
    before = identity().as_dict()
    del before["train"]["augment"]["hide_camera"], before["model"]["camera_scale"]
    assert changes(Identity.from_dict(before), identity()) == []
    with pytest.raises(KeyReIDError, match=r"train\.augment\.hide_camera: 0\.0 -> 0\.3"):
        check_same_run(tmp_path, Identity.from_dict(before), identity(hide_camera=0.3), allowed=False)


def test_a_setting_that_is_gone_is_named():
    before = identity().as_dict()
    before["train"]["augment"]["mirror"] = True
    assert changes(Identity.from_dict(before), identity()) == ["train.augment.mirror: true -> null"]
