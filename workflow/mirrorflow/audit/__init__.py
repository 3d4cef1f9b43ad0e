"""What saw what: findings of the auditor and the evidence behind them."""
