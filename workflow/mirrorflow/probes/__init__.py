"""What turns one fixed vector per unit into predictions: linear heads, logistic regression, ridge Cox."""
