"""Trained models from the tracker: loaded, published, addressed, and given a user's images."""
