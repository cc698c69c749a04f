import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pictures(tmp_path):
    """Three grey pictures of 64 x 64 pixels, numbered 6, 11 and 16."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (6, 11, 16):
        Image.fromarray(np.full((64, 64), 90, np.uint8)).save(folder / f"{number:03}.png")
    return folder
