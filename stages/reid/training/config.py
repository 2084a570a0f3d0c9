"""The `train` section of a recipe. Defaults are those of the published recipe."""

from typing import Literal

from pydantic import Field, model_validator

from stages.config import StrictModel
from stages.precision import Precision
from stages.reid.data.config import AugmentConfig, LoaderConfig, SamplerConfig


class LossConfig(StrictModel):
    """Weights of the losses. The global branch and the mean over parts share each loss."""

    global_share: float = Field(
        0.75, ge=0, le=1, description="share of the global branch; the parts get the rest"
    )
    identity: float = Field(1.0, ge=0, description="weight of the identity loss")
    smoothing: float = Field(0.1, ge=0, lt=1, description="label smoothing of the identity loss")
    triplet: float = Field(1.0, ge=0, description="weight of the triplet loss")
    margin: float | None = Field(None, gt=0, description="margin of the triplet loss; null: soft margin")
    triplet_on: Literal["feature", "embedding", "joined"] = Field(
        "feature",
        description="what the triplet loss compares: each branch's feature before its neck, as released; its "
        "embedding after it, of length 1; or these joined, as the test does",
    )
    triplet_scale: float = Field(
        1.0, gt=0, description="length of each embedding, with triplet_on embedding or joined"
    )
    center: float = Field(0.0005, ge=0, description="weight of the center loss")
    attention: float = Field(1.0, ge=0, description="weight of the attention loss on erased frames")


class OptimConfig(StrictModel):
    """Optimisers: one for the network, one for the centers."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="optimiser of the network")
    lr: float = Field(0.008, gt=0, description="learning rate after warm-up")
    bias_lr_factor: float = Field(2.0, gt=0, description="biases learn at lr times this")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD, beta1 of AdamW")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay")
    decay_vectors: bool = Field(True, description="weight decay on biases and norms too")
    layer_decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="learning rate factor from each backbone block to the one below; null: none",
    )
    head_lr_factor: float = Field(1.0, gt=0, description="necks and classifiers learn at lr times this")
    center_lr: float = Field(0.5, gt=0, description="learning rate of the centers' SGD")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the gradient; null: no clipping")
    accumulate: int = Field(1, ge=1, description="batches whose gradients make one step")


class ScheduleConfig(StrictModel):
    """timm's cosine schedule with linear warm-up, in epochs."""

    warmup_epochs: float = Field(5, ge=0, description="epochs of linear warm-up")
    warmup_lr: float = Field(8e-5, ge=0, description="learning rate at the start of warm-up")
    min_lr: float = Field(1.6e-5, ge=0, description="learning rate at the end")
    every: Literal["epoch", "step"] = Field("epoch", description="when the rate changes")
    first_epoch: Literal[0, 1] = Field(1, description="number of the first epoch on the curve (published: 1)")


class EmaConfig(StrictModel):
    """Moving average of the weights, kept beside them."""

    decay: float = Field(0.9999, ge=0, lt=1, description="decay of a step once warm; 0 turns the average off")
    warmup: bool = Field(True, description="let the decay grow from 0, as 1 - (1 + step) ** (-2/3)")


class CheckpointConfig(StrictModel):
    """Training states for resuming, and which weights the run ends with."""

    every_minutes: float = Field(
        10, ge=0, description="minutes between training states; 0: off. There is always one at the end"
    )
    every_epochs: int = Field(0, ge=0, description="epochs between training states as well; 0: off")
    every_steps: int = Field(0, ge=0, description="steps between training states as well; 0: off")
    keep: int = Field(2, ge=1, description="training states kept, besides the best")
    choose: Literal["last", "ema", "validation"] = Field(
        "last", description="weights of the finished model; never looks at the test set"
    )


class ValidationConfig(StrictModel):
    """A share of the training identities held out, each tracklet ranked against those of other cameras."""

    share: float = Field(0.0, ge=0, lt=1, description="share of training identities held out; 0: none")
    every_epochs: int = Field(5, ge=1, description="epochs between validations")
    batch_size: int = Field(16, ge=1, description="clips in a batch")
    clip_cap: int | None = Field(8, ge=1, description="clips used of a tracklet, from its start; null: all")


class TrainConfig(StrictModel):
    """Training of stage two."""

    epochs: int = Field(120, ge=1, description="epochs")
    seed: int = Field(1, ge=0, lt=2**31, description="one number decides every random draw")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is any")
    precision: Precision = Field(
        "auto",
        description="mixed precision; fp32: none; auto: bf16 on a GPU or a CPU with AMX, else fp32",
    )
    compile: bool = Field(False, description="torch.compile the network (needs a compiler for the device)")
    compile_backend: str = Field("inductor", description="backend of torch.compile")
    activation_checkpointing: bool = Field(
        False, description="recompute the blocks' activations to save memory"
    )
    log_every: int = Field(
        20,
        ge=1,
        description="steps between records in metrics.jsonl and TensorBoard, and one at each epoch's end; "
        "steps without a record do not wait for the device",
    )
    picture_every: int = Field(500, ge=1, description="steps between pictures and histograms in TensorBoard")
    sampler: SamplerConfig = SamplerConfig()
    augment: AugmentConfig = AugmentConfig()
    loader: LoaderConfig = LoaderConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: EmaConfig = EmaConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    validation: ValidationConfig = ValidationConfig()

    @model_validator(mode="after")
    def _agree(self) -> "TrainConfig":
        if self.checkpoint.choose == "validation" and self.validation.share == 0:
            raise ValueError("checkpoint.choose is validation, so validation.share must be above 0")
        if self.checkpoint.choose == "ema" and self.ema.decay == 0:
            raise ValueError("checkpoint.choose is ema, so ema.decay must be above 0")
        return self
