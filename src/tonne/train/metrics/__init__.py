"""How good predictions are: the field's metrics with intervals. Importing it loads neither torch nor a library."""

from __future__ import annotations

from tonne.train.metrics.likelihood import Likelihood as Likelihood
from tonne.train.metrics.scores import Score as Score
from tonne.train.metrics.scores import default_metric as default_metric
from tonne.train.metrics.scores import higher_is_better as higher_is_better
from tonne.train.metrics.scores import metrics_of as metrics_of
from tonne.train.metrics.scores import score as score

__all__ = ["Likelihood", "Score", "default_metric", "higher_is_better", "metrics_of", "score"]
