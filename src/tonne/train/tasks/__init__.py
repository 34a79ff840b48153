"""What a pre-trained model becomes: labelled examples as a model reads them, and their losses. One file a task."""
