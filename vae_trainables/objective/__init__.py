"""What is minimised: likelihoods and loss terms. No metric that is only reported belongs here."""
