"""The networks: tokenizer, dynamics, text encoder, how they are trained and sampled. Tensors in, tensors out."""

PATCH = 16  # pixels in height and width that one token covers: frame sizes are multiples of it
