"""What a model learns from text: small pure pieces that make inputs and targets of a sample."""
