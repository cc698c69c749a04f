"""GOTURN: two crops, the target before and the search window now, in; the box in the window out.

`network` builds it, `examples` makes what it learns from, `follow` tries it out
on sequences, ``python -m solartrack.models.goturn.train`` trains it.
"""
