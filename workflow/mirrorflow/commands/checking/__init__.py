"""What ``mirrorflow check`` looks at, a module a part of the chain."""
