"""
Forecast flares
===============

Simulated regions whose flares have a known probability are forecast by a support vector machine that is
trained here, beside persistence and the true probability, which no forecast can be expected to beat.
"""

import pandas as pd

from solartrack import features, flares, simulate, viz
from solartrack.flares import scores, splits, svm

# %%
# Patches, and the flares that followed. With real data these are `solartrack.flares.parse_names` of your
# files and `solartrack.flares.read_events` of NOAA's reports.

made = simulate.flaring_patches(seed=1, n_regions=120, size=64)
events = flares.Events(made.events, made.days, pd.DataFrame())
samples = flares.label(made.samples.drop(columns="label"), events, threshold="C1.0", window="24h")
print(f"{len(samples)} samples, {samples['label'].sum()} of them before a flare")

# %%
# A split by region: patches of one region resemble each other, so no region may be on both sides.

samples["part"] = splits.random_split(
    samples["region"], seed=1, test=0.4, validation=0.2, flaring=samples["label"]
)
splits.count_parts(samples["part"], samples["region"], samples["label"])

# %%
# The 29 complexity features, and a machine on them. Its probabilities are calibrated, and its threshold is
# chosen on regions that it was not trained on.

table = pd.DataFrame(features.complexity_batch(made.patches), columns=list(features.COMPLEXITY_NAMES))
learn, test = samples["part"] != "test", samples["part"] == "test"
model = svm.train(table[learn], samples.loc[learn, "label"], samples.loc[learn, "region"])
print(model)

# %%
# Scores on the test regions, with bootstrap intervals over regions.

samples["probability_svm"] = model.predict_proba(table)
judged = samples[test].assign(true=samples["probability"], probability=samples["probability_svm"])
report = scores.evaluate(
    judged,
    threshold={"svm": model.threshold, "true probability": judged["true"].mean(), "persistence": 0.5},
    baselines={"true probability": judged["true"], "persistence": scores.persistence(judged, events)},
    name="svm",
    n_boot=200,
)
print(report)

# %%
# Reliability, ROC curve, TSS against the threshold, and economic value.

figure = viz.plot_forecast(
    judged["label"],
    {"svm": judged["probability"], "true probability": judged["true"]},
    threshold=model.threshold,
    groups=judged["region"],
    n_boot=200,
)
figure

# %%
# The forecast that comes with the package needs no magnetograms: NOAA's summary of the day and the flares
# of the days before are enough. Here it reads the summaries of the simulated regions.

days = pd.DatetimeIndex(made.summaries["time"].unique()).sort_values()
summaries = flares.regions.Summaries(made.summaries, days, pd.DataFrame())
today = flares.forecast(summaries, events, time=days[10])
today[["region", "mcintosh", "area", "C_24h", "M_24h", "X_24h", "inputs"]].head(10)
