"""The trial: data, models, losses, metrics and the training loop, in pure PyTorch.

Nothing here knows Ray, MLflow or Optuna; `import vae_trainables` imports none of them.
"""
