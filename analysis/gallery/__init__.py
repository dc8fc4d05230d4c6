"""Every figure and table of the reference systems, for any trial: `python -m analysis.gallery`.

A part is one module with pure functions that make data and thin ones that draw it; `parts` lists
them and says which fit a run. The same run gives the same bytes of tables and pixels of figures.
"""
