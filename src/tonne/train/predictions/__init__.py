"""What a model makes of examples: labels, answers, texts or likelihoods, batch by batch."""

from __future__ import annotations

from tonne.train.predictions.passes import Pass as Pass
from tonne.train.predictions.predicting import Options as Options
from tonne.train.predictions.predicting import Predicted as Predicted
from tonne.train.predictions.predicting import predict as predict
from tonne.train.predictions.predicting import predicted as predicted

__all__ = ["Options", "Pass", "Predicted", "predict", "predicted"]
