"""A bench whose truth is known: simulated patients, what a verdict says of them, what a method's parts are worth."""
