"""Endless batches of training examples for Keras."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from solartrack._optional import require
from solartrack.inference import CropPair
from solartrack.models.goturn.examples import sequence_examples
from solartrack.models.goturn.recipes import Recipe
from solartrack.models.goturn.sources import Source
from solartrack.sequence import Frame

__all__ = ["batches"]


def batches(
    sources: Sequence[Source],
    crops: CropPair,
    recipe: Recipe,
    *,
    batch: int,
    seed: int,
    epoch: int = 0,
    workers: int = 1,
    shuffle: int = 1024,
    clutter: Sequence[Frame] = (),
) -> Any:
    """Endless batches for Keras.

    Parameters
    ----------
    sources : sequence of Source
        Taken in a different order in each round.
    crops : CropPair
    recipe : Recipe
    batch : int
        Examples in a batch.
    seed, epoch : int
        Determine the examples; a resumed run continues with the next epoch's. Their order depends on
        `workers` as well.
    workers : int
        Number of sequences that are read and cut at the same time.
    shuffle : int
        Number of examples held back to mix the sequences.
    clutter : sequence of Frame
        Real images, see `solartrack.models.goturn.examples.pair_examples`.

    Returns
    -------
    tf.data.Dataset
        Of ``({"target", "search"}, {"box", "present"})``.

    Raises
    ------
    ValueError
        If there are no sources, or no region in them is seen twice.
    """
    tf = require("tensorflow", extra="train", purpose="training")
    if not sources:
        raise ValueError("there is nothing to learn from: give at least one sequence")
    workers = max(1, min(workers, len(sources)))

    def work(worker: Any) -> Iterator[tuple[Any, ...]]:
        turn = 0
        while True:
            order = np.random.default_rng([seed, epoch, turn]).permutation(len(sources))
            found = False
            for number in order[int(worker) :: workers]:
                rng = np.random.default_rng([seed, epoch, turn, int(number)])
                for made in sequence_examples(sources[number](), crops, recipe, rng, clutter):
                    found = True
                    inputs = {"target": made.target, "search": made.search}
                    yield inputs, {"box": made.box, "present": made.present}
            if not found:
                raise ValueError("no region is seen twice in the training sequences, larger than 4 pixels")
            turn += 1

    def rows(*shape: int) -> Any:
        return tf.TensorSpec((None, *shape), tf.float32)

    signature = (
        {name: rows(*shape) for name, shape in crops.inputs.items()},
        {"box": rows(4), "present": rows(1)},
    )
    made = tf.data.Dataset.range(workers).interleave(
        lambda worker: tf.data.Dataset.from_generator(work, output_signature=signature, args=(worker,)),
        cycle_length=workers,
        num_parallel_calls=workers,
        deterministic=True,
    )
    made = made.unbatch().shuffle(shuffle, seed=seed + 7919 * epoch, reshuffle_each_iteration=False)
    return made.batch(batch, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
