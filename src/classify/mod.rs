//! From features to logits, and from logits to calibrated probabilities.
