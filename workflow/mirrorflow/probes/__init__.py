"""What turns one fixed vector per unit into predictions: linear heads, logistic regression, ridge Cox.

A classical method is a module named after its family, with two functions. ``fit(train, targets, asked, settings)``
sees the training units' vectors [unit, feature] and targets, what is asked, and the method's settings; it returns a
:class:`~mirrorflow.probes.fitted.FittedModel`. ``from_arrays(arrays)`` makes the same model of its stored arrays.
"""
