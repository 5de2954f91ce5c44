from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdvbpr.data.dataset import PreparedDataset
from tfdvbpr.models.recommenders import recommender_config
from tfdvbpr.training.distributed.strategy import make_strategy
from tfdvbpr.training.optimizers import AveragingAdam, FusedAdam, RowAdam, make_adam
from tfdvbpr.training.recommender.data import TrainingData
from tfdvbpr.training.recommender.train import RecommenderTrainer

ROWS, DIM, STEPS = 30, 3, 120


def _variable(initial: np.ndarray) -> keras.Variable:
    return keras.Variable(initial)


def _sampled(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Few rows a step, some twice, some never; gradients of very different sizes."""
    rows = generator.integers(0, ROWS - 2, 4).astype(np.int32)
    return rows, (generator.standard_normal((4, DIM)) * 10.0 ** generator.integers(-3, 1, (4, 1))).astype(np.float32)


@pytest.mark.parametrize("flat", [False, True])
def test_row_adam_moves_rows_as_adam_does(flat: bool) -> None:
    generator = np.random.default_rng(0)
    initial = generator.standard_normal((ROWS,) if flat else (ROWS, DIM)).astype(np.float32)
    dense_table, table = _variable(initial), _variable(initial)
    dense, rowwise = keras.optimizers.Adam(0.01), RowAdam(0.01)
    dense.build([dense_table])
    rowwise.build([table])

    @tf.function(reduce_retracing=True)
    def step(rows: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rowwise.catch_up(table, rows)
        read = tf.gather(table.value, rows), tf.gather(dense_table.value, rows)
        gradient = tf.IndexedSlices(values, rows, tf.constant(initial.shape))
        rowwise.apply([gradient], [table])
        dense.apply([tf.convert_to_tensor(gradient)], [dense_table])
        return read

    for _ in range(STEPS):
        rows, values = _sampled(generator)
        got, expected = step(tf.constant(rows), tf.constant(values[:, 0] if flat else values))
        np.testing.assert_allclose(got, expected, atol=3e-4)
    moved = np.abs(dense_table.numpy() - initial)
    assert moved.max() > 0.1
    assert not moved[ROWS - 2 :].any()
    rowwise.catch_up_all(tf.distribute.get_strategy(), table)
    np.testing.assert_allclose(table.numpy(), dense_table.numpy(), atol=3e-4)
    for got, expected in zip(rowwise.variables[2:4], dense.variables[2:4], strict=True):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=2e-3, atol=1e-7)


def test_a_row_that_is_not_sampled_is_not_touched() -> None:
    table = _variable(np.ones((ROWS, DIM), np.float32))
    optimizer = RowAdam(0.1)
    optimizer.build([table])
    for rows in ([3, 3, 7], [7]):
        optimizer.apply([tf.IndexedSlices(tf.ones((len(rows), DIM)), tf.constant(rows))], [table])
    up_to_date = optimizer.variables[-1].numpy()
    assert np.flatnonzero(up_to_date).tolist() == [3, 7]
    assert up_to_date[[3, 7]].tolist() == [1.0, 2.0]
    assert np.flatnonzero((table.numpy() != 1).any(axis=1)).tolist() == [3, 7]


def test_row_adam_refuses() -> None:
    with pytest.raises(ValueError, match="below the root"):
        RowAdam(0.1, beta_1=0.999, beta_2=0.99)
    with pytest.raises(ValueError, match="without `amsgrad`"):
        RowAdam(0.1, amsgrad=True)


def test_no_step_passes_over_a_whole_table(checkerboard_dataset: PreparedDataset) -> None:
    """Nothing that a traced step computes, in it or in a function it calls, has the shape of a table."""
    config = recommender_config("bpr-mf", embedding_dim=5, global_batch_size=3)
    strategy = make_strategy("one-device")
    trainer = RecommenderTrainer(TrainingData.from_dataset(checkerboard_dataset, config), config, strategy)
    (part,) = next(trainer.batches.epoch(0))
    batch = {name: tf.convert_to_tensor(array) for name, array in part.items()}
    traced = tf.function(lambda: strategy.run(trainer.replica_step, args=(batch,))).get_concrete_function()
    tables = {tuple(table.shape) for table in trainer.model.tables}
    assert tables == {(8, 5), (16, 5), (16,)}
    operations = [*traced.graph.get_operations()]
    for function in traced.graph._functions.values():
        operations += function.graph.get_operations()
    assert len(operations) > 100
    for operation in operations:
        for output in operation.outputs:
            if operation.type != "Const" and output.shape.rank is not None:
                assert tuple(output.shape) not in tables, operation


def test_fused_adam_is_keras_adam() -> None:
    generator = np.random.default_rng(0)
    initial = generator.standard_normal((7, 5)).astype(np.float32)
    ours, theirs = keras.Variable(initial), keras.Variable(initial)
    fused, plain = FusedAdam(0.01, epsilon=1e-6), keras.optimizers.Adam(0.01, epsilon=1e-6)
    fused.build([ours])
    plain.build([theirs])

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        fused.apply([gradient], [ours])
        plain.apply([gradient], [theirs])

    for _ in range(50):
        step(tf.constant(generator.standard_normal((7, 5)), tf.float32))
    assert np.abs(ours.numpy() - initial).max() > 0.05
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)
    for got, expected in zip(fused.variables, plain.variables, strict=True):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-4, atol=1e-7)


def test_fused_adam_refuses_amsgrad() -> None:
    with pytest.raises(ValueError, match="no kernel"):
        FusedAdam(0.1, amsgrad=True)


def test_golden_cosine() -> None:
    """Ten epochs of ten steps: half way between its ends in the middle; the fraction 1 is no decay."""
    config = recommender_config("dvbpr", epochs=10, final_learning_rate=0.2)
    schedule = make_adam(config, keras.optimizers.Adam, 1.0, steps_per_epoch=10)._learning_rate
    assert [float(schedule(step)) for step in (0, 50, 100)] == pytest.approx([1.0, 0.6, 0.2])
    config = recommender_config("dvbpr", epochs=10, final_learning_rate=1.0)
    schedule = make_adam(config, keras.optimizers.Adam, 0.3, steps_per_epoch=10)._learning_rate
    assert [float(schedule(step)) for step in (0, 37, 100)] == [np.float32(0.3)] * 3


def test_the_average_forgets_its_beginning() -> None:
    """Decays by hand: 0 at the first step, 2/11 at the second, then the constant."""
    variable = keras.Variable([10.0])
    adam = AveragingAdam(1.0, use_ema=True, ema_momentum=0.2)
    adam.build([variable])
    averages = []
    expected = []
    for step in range(4):
        adam.apply([tf.constant([1.0])], [variable])
        now = float(variable.numpy()[0])
        decay = 0.0 if step == 0 else min(0.2, (1 + step) / (10 + step))
        expected.append(now if step == 0 else decay * expected[-1] + (1 - decay) * now)
        averages.append(float(adam._model_variables_moving_average[0].numpy()[0]))
    np.testing.assert_allclose(averages, expected, rtol=1e-5)
    assert AveragingAdam.from_config(adam.get_config()).get_config()["ema_momentum"] == 0.2
