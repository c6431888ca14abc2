"""Points in time as text: UTC, ISO 8601 to the microsecond, so that the order of the texts is that of the times."""

from datetime import UTC, datetime


def utc_now() -> str:
    """Return the present time.

    Example:
        >>> len(utc_now()), utc_now() <= utc_now()
        (32, True)
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")


def minutes(date: str) -> str:
    """Return a point in time as it is shown, to the minute.

    Example:
        >>> minutes("2026-01-31T12:34:56.123456+00:00")
        '2026-01-31 12:34 UTC'
    """
    return f"{date[:10]} {date[11:16]} UTC"
