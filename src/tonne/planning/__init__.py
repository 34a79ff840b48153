"""Plans and runs side by side."""

from tonne.planning.comparison import Comparison, Difference, compare
from tonne.planning.scenario import Scenario, scenario_of

__all__ = ["Comparison", "Difference", "Scenario", "compare", "scenario_of"]
