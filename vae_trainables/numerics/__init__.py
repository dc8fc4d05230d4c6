"""What every tensor here rests on: random numbers, precision of products, memory of the process.

Nothing here knows a model, a data set or a loss.
"""
