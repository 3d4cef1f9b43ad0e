"""Errors for the person at the keyboard: what is wrong, the value, the file, the fix."""


class MirrorflowError(Exception):
    """Something the user can fix. Shown as its message alone, without a traceback."""


class InputError(MirrorflowError):
    """A file or a sheet does not hold what it should."""


class UnreachableError(MirrorflowError):
    """A file cannot be read for a reason that lies outside of it: nothing is known of what it holds.

    No InputError: who passes over damaged files, or makes them again, has to stop here.
    """


class CannotFitError(InputError):
    """A fold has too few training patients for what a method fits beforehand: it is left out, with the reason."""


class ConfigError(MirrorflowError):
    """A setting is unknown, out of range or contradicts another."""


class SettingsMismatchError(MirrorflowError):
    """A file in the store was made with other settings than those of this run."""
