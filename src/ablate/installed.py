"""The versions of installed packages."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str = "ablate") -> str | None:
    """Return the version of an installed package; None if it is not installed, as where `ablate` runs from its source.

    Example:
        >>> print(version_of("no-such-package"))
        None
    """
    try:
        return version(package)
    except PackageNotFoundError:
        return None
