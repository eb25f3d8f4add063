"""What a claim asks of its numbers, in words: the criterion beside each measured value."""

from elbogap.claims.checks import number
from elbogap.claims.specification import Bound, Claim, Monotone, Ordering, PublishedValue, Ratio, Value


def criterion(claim: Claim, tolerance: float | None) -> str:
    """The check of a claim in words, such as `kl by method: a < b by more than 0.5, for each dataset`.

    Args:
        claim: the claim.
        tolerance: what the scale allows; None where it does not say, and the words leave it out.
    """
    words = _words(claim, tolerance)
    return f"{words}, for each {', '.join(claim.check.per)}" if claim.check.per else words


def _words(claim: Claim, tolerance: float | None) -> str:
    check, slack = claim.check, tolerance or 0.0
    match check:
        case Ordering():
            each = ", each" if len(check.order) > 2 else ""
            margin = f"{each} by more than {number(slack)}" if slack else ""
            return f"{check.metric} by {check.column}: {' < '.join(map(str, check.order))}{margin}"
        case Value():
            known = claim.published
            target = number(known.value) if isinstance(known, PublishedValue) else "the published values"
            if tolerance is None:
                return f"{check.metric} near {target}"
            reach = f"{number(100 * slack)} %" if check.relative else number(slack)
            return f"{check.metric} within {reach} of {target}"
        case Ratio():
            limits = _limits(check.low, check.high, slack)
            return f"{check.metric} by {check.column}: {check.numerator} / {check.denominator} {limits}"
        case Monotone():
            most = f", up to {number(slack)} a step" if slack else ""
            return f"{check.metric} {check.direction} along {check.along}{most}"
        case Bound():
            return f"{check.metric} {_limits(check.lower, check.upper, slack)}"


def _limits(low: float | str | None, high: float | str | None, slack: float) -> str:
    """The limits, numbers or columns, moved apart by the slack; one of them may be open."""
    lower = None if low is None else _moved(low, -slack)
    upper = None if high is None else _moved(high, slack)
    if lower and upper:
        return f"from {lower} to {upper}"
    return f"at least {lower}" if lower else f"at most {upper}"


def _moved(limit: float | str, by: float) -> str:
    if isinstance(limit, str):
        return f"{limit} {'+' if by > 0 else '-'} {number(abs(by))}" if by else limit
    return number(limit + by)
