"""What turns one fixed vector per unit into predictions: linear heads, logistic regression, ridge Cox.

A classical method is a module named after its family, with ``predict(train, evaluation, targets, asked, settings)``:
vectors [unit, feature] of both sides, what is known of the training units (nothing of the evaluation units), what is
asked, and the method's settings.
"""
