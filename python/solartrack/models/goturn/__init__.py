"""GOTURN: two crops in, the target before and the search window now; the box in the search window out.

`network` builds it as `presets` say. `sources` loads images with known boxes, `examples` cuts them into
training examples as `recipes` say (`carried`, `windows` and `augment` are its steps), `dataset` makes batches
of these. `learner` holds the loss and the optimizers, `follow` tests a network by tracking, and
`train` (the command ``solartrack train``) trains one.
"""
