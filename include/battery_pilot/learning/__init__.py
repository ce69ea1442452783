"""The health model: how a battery's state of health will be at its next check-up, learnt from its own past.

This package holds what needs no Spark session: the SQL of the features, the split by battery, the identity of a model
and its card. The jobs ``train_health_model`` and ``score_health`` run it on Spark.
"""

from __future__ import annotations
