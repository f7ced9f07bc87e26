"""One step of asking a site, and how it came out: the engine's exceptions end here as reasons."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookiejar import Cookie
from pathlib import Path
from typing import Any, Literal

from datasets.outcomes import MediaError
from extract.media_store import DiskFullError
from extract.mp4 import IncompleteMediaError
from extract.site.formats import NoFormatError
from extract.site.limits import LimitError
from extract.site.reasons import classify, clean_detail
from extract.site.session import EngineError, Session, open_session
from extract.site.settings import DownloadSettings
from extract.sources import SourceSettings


@dataclass(frozen=True)
class Turn:
    """What one video or search is asked by, all of its steps together."""

    source: SourceSettings
    download: DownloadSettings
    deadline: float
    """On the monotonic clock, which is the machine's: the same in every process."""
    depth: int | None = None
    """Of a listing: its most entries; None for one video."""
    pause_s: float = 0.0
    """Between two pages."""
    media_root: str = ""
    video_id: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a turn."""

    turn: Turn
    name: Literal["list_entries", "extract", "download_media"]
    argument: Any
    """Of the session's method of this name."""
    warnings: tuple[str, ...] = ()
    """Of earlier steps; they explain missing formats."""
    cookies: tuple[Cookie, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What came of a step: a result, or the reason why there is none."""

    result: Any = None
    reason: str | None = None
    detail: str = ""
    http_status: int | None = None
    """Of the answer that refused, if one did; and how long it asked us to wait."""
    retry_after_s: float | None = None
    partial: Path | None = None
    """Where the media lie, complete and not yet kept."""
    warnings: tuple[str, ...] = ()
    cookies: tuple[Cookie, ...] = field(default=(), repr=False)


def answer(step: Step) -> Answer:
    """Do a step in this thread, with its session."""
    turn = step.turn
    session = open_session(turn.source, turn.download, turn.depth)
    session.begin(turn.media_root, turn.video_id, turn.pause_s, turn.deadline)
    session.warnings += step.warnings
    for cookie in step.cookies:
        session.cookiejar.set_cookie(cookie)
    result, reason, detail = _try(session, step)
    status, retry_after_s = session.http_status, session.retry_after_s
    session.release()
    jar = tuple(session.cookiejar)
    return Answer(result, reason, detail, status, retry_after_s, session.partial, tuple(session.warnings), jar)


def _try(session: Session, step: Step) -> tuple[Any, str | None, str]:
    """(result, None, ""), or (None, reason, detail)."""
    do: Callable[[Any], Any] = getattr(session, step.name)
    try:
        return do(step.argument), None, ""
    except (LimitError, NoFormatError, DiskFullError, IncompleteMediaError) as error:
        return None, error.reason, error.detail
    except MediaError as error:
        return None, error.reason, clean_detail(str(error))
    except RecursionError:
        return None, "bad_answer", "the site's answer is nested too deeply to be read"
    except (EngineError, OSError) as error:
        return None, *classify(error, session.warnings)
