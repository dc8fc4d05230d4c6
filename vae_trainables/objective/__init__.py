"""What is minimised: likelihoods and loss terms. No metric that is only reported belongs here."""

from vae_trainables.objective import losses as losses  # the built-in terms come before all others
