"""What can go wrong with the hub, in words: which errors are tried again, and what each one means."""

from __future__ import annotations

from collections.abc import Iterator

from smartcli.errors import SmartCliError, UserError

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 30.0


class HubUnreachable(SmartCliError):
    """The hub did not answer, or not well enough; files in the cache may do."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was raised from, innermost last."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status behind an error of the library, or None."""
    for cause in causes(error):
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: no connection, a dropped one, a busy or broken server."""
    status = status_of(error)
    if status is not None:
        return status in RETRIED
    # The library's size check raises a plain OSError without a number; one with a number is the disk's.
    cut_short = isinstance(error, OSError) and error.errno is None
    return cut_short or _is_transport(error)


def _is_transport(error: BaseException) -> bool:
    # The library moved from httpx to httpx2; both call the base of connection errors TransportError.
    names = {kind.__name__ for cause in causes(error) for kind in type(cause).__mro__}
    return bool(names & {"TransportError", "ConnectionError", "TimeoutError", "FileMetadataError"})


def wait_before_retry(error: BaseException, planned: float) -> float:
    """Return the seconds to wait: what the server asks for (at most 30), else `planned`."""
    for cause in causes(error):
        asked = getattr(getattr(cause, "response", None), "headers", {}).get("Retry-After", "")
        if asked.isdigit():
            return min(float(asked), LONGEST_WAIT)
    return planned


def explain(error: BaseException, repo_id: str, revision: str | None, page: str, advice: str) -> SmartCliError:
    """Return the error that a user sees; never the library's own text, which may hold addresses and headers."""
    status = status_of(error)
    names = {type(cause).__name__ for cause in causes(error)}
    if "RevisionNotFoundError" in names:
        return UserError(f'{repo_id}: no revision "{revision}" on the hub; expected a branch, tag or commit hash')
    if "GatedRepoError" in names or status == 403:
        return UserError(
            f"{repo_id}: access is restricted ({status}). Ask for it at {page}, then set HF_TOKEN to a token of that "
            f"account; {advice}"
        )
    if status == 401:
        return UserError(
            f"{repo_id}: the hub answers 401: there is no such repository, or it is private or gated. Check the id; "
            f"for a private one set HF_TOKEN to a valid token; {advice}"
        )
    if status == 404 or "RepositoryNotFoundError" in names:
        return UserError(f"{repo_id}: no such repository or file on the hub (404); check the id; {advice}")
    if status == 429:
        return HubUnreachable(
            f"{repo_id}: the hub answers 429, too many requests. Wait some minutes and run the same command again, or "
            f"set HF_TOKEN, since accounts may ask more often; {advice}"
        )
    if status is not None and status < 500:
        return SmartCliError(f"{repo_id}: the hub refused the request ({status}); {advice}")
    if status is None and not is_transient(error):
        if isinstance(error, OSError):
            return SmartCliError(f"{repo_id}: could not write {error.filename or 'the cache'}: {error.strerror}")
        return SmartCliError(f"{repo_id}: the hub's answer was not understood ({type(error).__name__}); {advice}")
    what = f"the hub answers {status}" if status else "the hub cannot be reached, or the connection dropped"
    return HubUnreachable(
        f"{repo_id}: {what}, and the files are not in the cache. Check the network (and HF_ENDPOINT, where it is set) "
        f"and run the same command again; what was downloaded is kept; {advice}"
    )
