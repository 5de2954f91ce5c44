"""The configuration of a recommender; its class in RECOMMENDERS holds its defaults and presets."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tfdvbpr.config.training import TrainingConfig

Batching = Literal["shared-item", "triplet"]
UserEmbeddings = Literal["leave-one-out", "free"]
UserInitializer = Literal["normal", "uniform"]
Reduction = Literal["mean", "sum"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16", "auto"]
ImageCache = Literal["auto", "memory", "disk", "none"]
Schedule = Literal["constant", "cosine", "step", "exponential"]


class RecommenderConfig(TrainingConfig):
    """Configuration of a recommender run. Its defaults are the library's own."""

    RUN_FIELDS: ClassVar[frozenset[str]] = TrainingConfig.RUN_FIELDS | {"image_cache", "cache_gib"}

    model: str = Field("dvbpr", description="A name in RECOMMENDERS.")
    epochs: int = Field(40, ge=1, description="Passes over the data; see `batching` for what one is.")
    embedding_dim: int = Field(64, ge=1, description="Length of θ_u and Φ(x).")
    factor_dim: int = Field(
        32, ge=0, description="Length of the non-visual factors γ of hybrid-dvbpr and vbpr; 0 leaves a bias alone."
    )
    backbone: str = Field(
        "small_cnn",
        description="A name in BACKBONES: small_cnn, cnn_f, efficientnet_lite0, efficientnet_lite0_pyramid (with its "
        "earlier stages), or a model of keras.applications such as MobileNetV2; DVBPR and siamese.",
    )
    backbone_trainable: str = Field(
        "all",
        pattern=r"^(all|none|last:[1-9]\d*)$",
        description="How much of the backbone is trained below its last layer: all, none, or last:N for the last N "
        "convolutions or dense layers. With none, a pretrained trunk sees each picture once for the whole training, "
        "without flips and shifts.",
    )
    head_units: int = Field(
        0, ge=0, description="Units of a hidden layer between a pretrained trunk and Φ; 0 for none. DVBPR and siamese."
    )
    features: str = Field(
        "colour-and-edges",
        description="Off-the-shelf features: colour-and-edges, efficientnet_lite0, or a model of keras.applications "
        "such as MobileNetV2; VisRank, VBPR and FM.",
    )
    batching: Batching = Field(
        "shared-item",
        description="shared-item: each item is encoded once a batch and ranked against the others (an epoch draws "
        "every item once). triplet: the paper's (u, i, j), an epoch being as many triplets as training actions.",
    )
    user_embeddings: UserEmbeddings = Field(
        "leave-one-out",
        description="leave-one-out: θ_u is the shrunk mean of Φ over the items u acted on, without the one being "
        "ranked. free: the paper's, a table trained by gradient, with user_l2 and user_learning_rate. DVBPR only.",
    )
    global_batch_size: int = Field(
        128, ge=2, description="Items (shared-item) or triplets (triplet) a step, all replicas."
    )
    item_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="shared-item: an action weighs (training actions on its item)^-β; 1 counts every item the same, "
        "which favours cold items at the cost of popular ones.",
    )
    popularity_offset: float = Field(
        0.0,
        ge=0,
        description="α: while training, and not afterwards, scores are given α·ln(1 + training actions of the item). "
        "1 leaves popularity out of what is learnt, which favours cold items at the cost of popular ones.",
    )
    max_pairs: int = Field(8192, ge=1, description="shared-item: the most training actions ranked a step.")
    loss: str = Field("bpr", description="A name in RANKING_LOSSES.")
    sampler: str = Field(
        "uniform", description="Which items positives are ranked against: uniform, popularity, in-batch or hard."
    )
    num_negatives: int = Field(
        1, ge=1, description="Negatives a positive; triplet batching only. The hard sampler keeps the best scored one."
    )
    popularity_power: float = Field(0.75, ge=0, description="α of the popularity sampler.")
    user_learning_rate: float = Field(
        1e-2, gt=0, description="Adam's step size for tables with a row a user or an item: free θ, γ, β."
    )
    user_l2: float = Field(0.1, ge=0, description="λ_Θ: ½λ‖θ_u‖² of free θ and γ_u, added for each ranked action.")
    item_l2: float = Field(0.0, ge=0, description="½λ of ‖γ_i‖² + β_i² for each drawn item.")
    backbone_l2: float = Field(
        1e-4, ge=0, description="λ_CNN: ½λ‖W‖² a step, on trained weights and not on biases; DVBPR only."
    )
    reduction: Reduction = Field(
        "mean",
        description="Over a batch's actions. sum: the authors' code, where λ_CNN counts against the sum; "
        "triplet batching only.",
    )
    adam_epsilon: float = Field(1e-7, gt=0, description="Adam's ε; the authors' code has 1e-8.")
    user_initializer: UserInitializer = Field(
        "normal", description="Of free θ and γ_u: normal with σ 0.1, or uniform in [0, 0.01), the authors'."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Before the last layer of the backbone.")
    augmentation: tuple[str, ...] = Field(
        ("flip", "shift"),
        description="Random augmentation of training images: any of flip, shift (up to 4 pixels), colour, translation "
        "(up to an eighth) and cutout.",
    )
    precision: Precision = Field(
        "float32",
        description="Of the network's passes: float32, mixed_bfloat16, mixed_float16 (for GPUs; scales the loss), or "
        "auto: what is fastest for this backbone on this device, measured before training. Weights stay float32.",
    )
    jit_compile: bool = Field(False, description="Compile the network's passes with XLA; one replica only.")
    image_cache: ImageCache = Field(
        "auto",
        description="Where decoded pictures are kept: memory, disk (a file in the dataset), none (decoded each "
        "time from the packed JPEGs), or auto: the first of these that fits in cache_gib.",
    )
    cache_gib: float = Field(
        1.0, ge=0, description="GiB of memory that `image_cache: auto` may use; eight times as much on the disk."
    )
    evaluate_every: int = Field(5, ge=1, description="Epochs between looks at the validation actions.")
    stop_metric: str = Field(
        "auc",
        description="The validation figure whose best epoch is kept: auc, or auc_cold where there are cold items.",
    )
    patience: int = Field(
        0, ge=0, description="Stop after so many looks without a better `stop_metric`; 0 never stops early."
    )
    schedule: Schedule = Field(
        "cosine",
        description="Of both step sizes: cosine falls to `final_learning_rate`; step multiplies by `decay_rate` each "
        "`decay_epochs`, exponential does so smoothly; constant stays.",
    )
    warmup_steps: int = Field(0, ge=0, description="Steps over which step sizes rise from 0, before the schedule.")
    decay_rate: float = Field(0.1, gt=0, le=1, description="Of the step and exponential schedules.")
    decay_epochs: int = Field(10, ge=1, description="Of the step and exponential schedules.")
    clip_norm: float = Field(
        0.0, ge=0, description="The largest norm of a global batch's gradient, all weights together; 0 does not clip."
    )
    average_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of moving averages of the weights, looked at and kept in their place; 0 none.",
    )
    intended_image_size: tuple[int, int] | None = Field(
        None, description="(height, width) the values are meant for; a dataset of another size is told of, and used."
    )
