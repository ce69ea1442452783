"""What is learnt from batteries: health and remaining life on Spark, cycle life from early cycles, capacity from impedance.

This package holds what needs no Spark session. For health and remaining life that is the SQL of the features, the split by
battery, the comparison with the baselines, the identity of a model and its card; the jobs ``train_health_model`` and
``score_health`` run it on Spark. Cycle life
(:mod:`~battery_pilot.learning.early_life`) and tables of features (:mod:`~battery_pilot.learning.assessment`) are small
enough for numpy.
"""

from __future__ import annotations
