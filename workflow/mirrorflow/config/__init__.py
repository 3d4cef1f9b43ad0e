"""What a run asks for: settings, protocols, methods, data sets. Free of torch and pandas."""
