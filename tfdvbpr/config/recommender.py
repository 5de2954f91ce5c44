"""The configuration of a recommender; its class in RECOMMENDERS holds its defaults and presets."""

from __future__ import annotations

from typing import ClassVar, Literal

from tfdvbpr.config.base import TrainingConfig, option

Batching = Literal["shared-item", "triplet"]
UserEmbeddings = Literal["leave-one-out", "free"]
UserInitializer = Literal["normal", "uniform"]
Reduction = Literal["mean", "sum"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
ImageCache = Literal["auto", "memory", "disk", "none"]


class RecommenderConfig(TrainingConfig):
    """Configuration of a recommender run. Defaults are the library's own; docs/reference/equations.md has the paper's.

    Fields that a model does not have, such as `features` of DVBPR, are ignored by it.
    """

    RUN_FIELDS: ClassVar[frozenset[str]] = TrainingConfig.RUN_FIELDS | {"image_cache"}

    model: str = option("model", "dvbpr", "A name in RECOMMENDERS.")
    embedding_dim: int = option("model", 64, "Length of θ_u and Φ(x).", ge=1)
    factor_dim: int = option(
        "model", 32, "Length of the non-visual factors γ of hybrid-dvbpr and vbpr; 0 leaves a bias alone.", ge=0
    )
    backbone: str = option(
        "model",
        "small_cnn",
        "A name in BACKBONES, such as small_cnn, cnn_f, efficientnet_lite0, efficientnet_lite0_pyramid (with its "
        "earlier stages), or a model of keras.applications such as MobileNetV2; DVBPR and siamese.",
    )
    backbone_trainable: str = option(
        "model",
        "all",
        "How much of the backbone is trained below its last layer: all, none, or last:N for the last N convolutions or "
        "dense layers. With none, a pretrained network encodes each image once, without augmentation.",
        pattern=r"^(all|none|last:[1-9]\d*)$",
    )
    head_units: int = option(
        "model", 0, "Units of a hidden layer between a pretrained network and Φ; 0 for none. DVBPR and siamese.", ge=0
    )
    dropout: float = option("model", 0.2, "Dropout rate before the last layer of the backbone.", ge=0, lt=1)
    features: str = option(
        "model",
        "colour-and-edges",
        "A name in FEATURE_EXTRACTORS, off-the-shelf features, such as colour-and-edges, efficientnet_lite0, or a "
        "model of keras.applications such as MobileNetV2; VisRank, VBPR, FM and visual-ease.",
    )
    num_neighbours: int = option(
        "model",
        0,
        "N of ease, visual-ease and item-knn: weights that each item keeps, the largest by magnitude; 0 keeps all. "
        "item-knn: 100.",
        ge=0,
    )
    shrinkage: float = option("model", 10.0, "h of item-knn's cosines, n_ij / (√n_i √n_j + h).", ge=0)
    user_embeddings: UserEmbeddings = option(
        "user profile",
        "leave-one-out",
        "leave-one-out: θ_u is the shrunk mean of Φ over the items u acted on, without the one being ranked. free: the "
        "paper's, a table trained by gradient, with user_l2 and user_learning_rate. DVBPR only.",
    )
    user_initializer: UserInitializer = option(
        "user profile", "normal", "Of free θ and γ_u: normal with σ 0.1, or uniform in [0, 0.01), the authors'."
    )
    batching: Batching = option(
        "data",
        "shared-item",
        "shared-item: each item is encoded once a batch and ranked against the others (in an epoch every item once). "
        "triplet: the paper's (u, i, j), an epoch being as many triplets as training actions.",
    )
    global_batch_size: int = option(
        "data", 128, "Items (shared-item) or triplets (triplet) a step, over all replicas.", ge=2
    )
    max_pairs: int = option("data", 8192, "shared-item: the most training actions ranked a step.", ge=1)
    sampler: str = option(
        "data",
        "uniform",
        "A name in SAMPLERS: which items positives are ranked against, such as uniform, popularity, in-batch or hard.",
    )
    num_negatives: int = option(
        "data", 1, "triplet: negatives a positive. The hard sampler keeps the one with the highest score.", ge=1
    )
    augmentation: tuple[str, ...] = option(
        "data",
        ("flip", "shift"),
        "Random augmentation of training images: any of flip, shift (up to 4 pixels), colour, translation (up to an "
        "eighth) and cutout.",
    )
    image_cache: ImageCache = option(
        "data",
        "auto",
        "Where decoded images are kept: memory, disk (a file in the dataset), none (decoded each time from the packed "
        "JPEGs), or auto: the first of these that fits in 1 GiB of memory or 8 GiB of disk.",
    )
    loss: str = option("loss", "bpr", "A name in RANKING_LOSSES, such as bpr, warp or sampled-softmax.")
    reduction: Reduction = option(
        "loss",
        "mean",
        "Of the loss over a batch's actions. sum: the authors' code, where λ_CNN counts against the sum; triplet only.",
    )
    item_balance: float = option(
        "loss",
        0.5,
        "shared-item: an action weighs (training actions on its item)^-β; 1 counts every item the same, which favours "
        "cold items at the cost of popular ones.",
        ge=0,
        le=1,
    )
    popularity_offset: float = option(
        "loss",
        0.0,
        "α: in training only, α·ln(1 + training actions of the item) is added to scores. 1 keeps popularity out of "
        "what is learned, which favours cold items at the cost of popular ones.",
        ge=0,
    )
    user_l2: float = option("loss", 0.1, "λ_Θ: ½λ‖θ_u‖² of free θ and γ_u, added for each ranked action.", ge=0)
    item_l2: float = option("loss", 0.0, "½λ of ‖γ_i‖² + β_i² for each item in a batch.", ge=0)
    backbone_l2: float = option(
        "loss", 1e-4, "λ_CNN: ½λ‖W‖² a step, on trained weights and not on biases; DVBPR and siamese.", ge=0
    )
    adversarial_epsilon: float = option(
        "loss",
        0.0,
        "Also rank images that are changed against the model: each pixel by so much of its range, such as 0.0157 "
        "(4/255), or the features of a frozen network by so much of their length. dvbpr and hybrid-dvbpr, shared-item.",
        ge=0,
        le=1,
    )
    weight_l2: float = option(
        "loss",
        500.0,
        "λ: of ease and visual-ease, on the squared weights between items; of ials, on its embeddings, 0.003.",
        gt=0,
    )
    weight_dropout: float = option(
        "loss",
        0.0,
        "p of ease and visual-ease: the share of the user's items that are dropped, in expectation (EDLAE).",
        ge=0,
        lt=1,
    )
    user_balance: float = option(
        "loss", 0.0, "β of ease and visual-ease: a user's row is scaled by n_u^-β.", ge=0, le=1
    )
    unobserved_weight: float = option("loss", 0.1, "α₀ of ials: what any user-item pair weighs.", gt=0)
    epochs: int = option("optimizer", 40, "Passes over the data; see `batching` for what one is.", ge=1)
    user_learning_rate: float = option(
        "optimizer", 1e-2, "Adam's step size for tables with a row a user or an item: free θ, γ, β.", gt=0
    )
    adam_epsilon: float = option("optimizer", 1e-7, "Adam's ε; the authors' code has 1e-8.", gt=0)
    start_from: str = option(
        "optimizer", "", "A run whose weights training begins with, carried over by id; `train --from` sets it."
    )
    precision: Precision = option(
        "optimizer",
        "float32",
        "Of the backbone's passes: float32, mixed_bfloat16, or mixed_float16 (for GPUs; scales the loss). Weights stay "
        "float32.",
    )
    evaluate_every: int = option("evaluation", 5, "Epochs between evaluations on the validation actions.", ge=1)
    stop_metric: str = option(
        "evaluation",
        "auc",
        "The validation metric whose best epoch is kept, such as auc, auc_cold, recall@10 or ndcg@10.",
    )
    patience: int = option(
        "evaluation", 0, "Stop after so many evaluations without a better `stop_metric`; 0 never stops early.", ge=0
    )
