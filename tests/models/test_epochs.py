import math

import keras
import numpy as np
import pytest

from solartrack.errors import ArchiveError
from solartrack.models.training import BEST, RunState, best_epoch, run_epochs


@pytest.mark.parametrize(
    ("figures", "best"),
    [([0.1, 0.3, 0.3, 0.2], 1), ([math.nan, -0.5, math.nan], 1), ([math.nan, math.nan], 0), ([-1.0], 0)],
)
def test_best_epoch_is_the_first_of_the_largest_and_nan_is_the_least(figures, best):
    assert best_epoch([{"tss": figure} for figure in figures], "tss") == best


def run(folder, figures, *, patience=None, epochs=None, state=None):
    """A run whose only variable counts its epochs."""
    folder.mkdir(exist_ok=True)
    variable = keras.Variable(0.0)
    state = RunState(folder, [variable], {"a": [1, 2]})

    def learn(epoch):
        assert float(variable.value) == epoch
        variable.assign(epoch + 1)
        if figures[epoch] is None:
            raise KeyError("stopped")
        return {"tss": figures[epoch]}

    def save(path):
        path.write_text(str(float(variable.value)))

    run_epochs(state, epochs or len(figures), learn, chosen="tss", save=save, patience=patience)
    return state


def test_a_stopped_run_goes_on_after_its_last_epoch_with_the_best_weights_of_all(tmp_path, capsys):
    with pytest.raises(KeyError):
        run(tmp_path / "run", [0.1, 0.5, None, 0.3])
    state = run(tmp_path / "run", [None, None, 0.2, 0.3])
    assert "going on after epoch 2 of 4" in capsys.readouterr().out
    assert [row["tss"] for row in state.history] == [0.1, 0.5, 0.2, 0.3]
    assert (tmp_path / "run" / BEST).read_text() == "2.0"
    assert (tmp_path / "run" / "history.csv").read_text() == "epoch,tss\n1,0.1\n2,0.5\n3,0.2\n4,0.3\n"


@pytest.mark.parametrize(("patience", "length"), [(1, 3), (2, 4), (3, 6), (None, 6)])
def test_a_run_ends_after_so_many_epochs_without_a_better_one(tmp_path, patience, length):
    figures = [0.1, 0.5, 0.5, 0.2, 0.9, 0.1]
    assert len(run(tmp_path / "run", figures, patience=patience).history) == length
    assert len(run(tmp_path / "run", figures, patience=patience).history) == length


def test_a_run_with_other_settings_is_refused(tmp_path):
    run(tmp_path / "run", [0.1])
    with pytest.raises(ValueError, match=r"holds a run with other settings \(a\); choose another folder"):
        RunState(tmp_path / "run", [], {"a": [1, 3]})


@pytest.mark.parametrize("damage", ["truncated", "text", "other", "empty"])
def test_a_damaged_state_is_named(tmp_path, damage):
    run(tmp_path / "run", [0.1])
    path = tmp_path / "run" / "state.npz"
    whole = path.read_bytes()
    if damage == "other":
        np.savez(path, v0=np.zeros(3))
    else:
        path.write_bytes({"truncated": whole[: len(whole) // 2], "text": b"no", "empty": b""}[damage])
    with pytest.raises(ArchiveError, match=r"state\.npz is damaged; choose another folder, or remove"):
        RunState(tmp_path / "run", [keras.Variable(0.0)], {"a": [1, 2]})


def test_a_run_that_was_killed_before_its_history_was_written_gets_it_when_it_goes_on(tmp_path):
    run(tmp_path / "run", [0.1])
    history = tmp_path / "run" / "history.csv"
    history.unlink()
    run(tmp_path / "run", [0.1])
    assert history.read_text() == "epoch,tss\n1,0.1\n"


def test_state_holds_the_variables_that_it_is_given_and_no_others(tmp_path):
    run(tmp_path / "run", [0.1])
    with np.load(tmp_path / "run" / "state.npz") as stored:
        assert sorted(stored.files) == ["record", "v0"] and stored["v0"] == 1.0
