"""What is made of torch modules: counting one by dispatch."""
