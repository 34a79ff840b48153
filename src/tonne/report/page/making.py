"""The whole report: its sections in the order that people read them."""

from __future__ import annotations

from collections.abc import Iterator

from tonne.report.page.against import against
from tonne.report.page.blocks import Cell, Page, Section
from tonne.report.page.coefficients import coefficients
from tonne.report.page.evidence import evidence, left_out
from tonne.report.page.headline import headline, moment
from tonne.report.page.language import Words, percent, words_of
from tonne.report.page.method import method
from tonne.report.page.over_time import learning, over_time
from tonne.report.page.parts import parts
from tonne.report.page.project import project
from tonne.report.page.spread import spread
from tonne.report.page.subject import Subject
from tonne.report.page.what_if import what_if

LABELS = ("table.data", "contents", "unknown.short", "method.where", "method.source")


def page_of(subject: Subject, language: str = "en") -> Page:
    """The report of a subject in a language.

    Raises:
        DescriptionError: There is no such language.
    """
    words = words_of(language)
    return Page(
        language={"en": "en", "zh": "zh-CN"}[language],
        title=subject.name,
        subtitle=_subtitle(subject, words),
        badges=tuple(_badges(subject, words)),
        sections=tuple(_sections(subject, words)),
        footer=words.of("footer", version=_version()),
        labels={label: words.of(label) for label in LABELS},
    )


def _sections(subject: Subject, words: Words) -> Iterator[Section]:
    yield headline(subject, words)
    if subject.is_project:
        yield project(subject, words)
        yield parts(subject, words)
        yield what_if(subject, words)
    else:
        yield against(subject, words)
        yield parts(subject, words)
        yield over_time(subject, words)
        yield learning(subject, words)
        yield what_if(subject, words)
        yield spread(subject, words)
    yield method(subject, words)
    yield coefficients(subject, words)
    yield evidence(subject, words)
    yield left_out(subject, words)


def _subtitle(subject: Subject, words: Words) -> str:
    if subject.is_project:
        begun = min(run.begun_unix_s for run in subject.counted)
        ended = max(run.ended_unix_s or run.begun_unix_s for run in subject.counted)
        return words.of("subtitle.project", runs=len(subject.counted), begun=moment(begun), ended=moment(ended))
    run = subject.run
    key = "subtitle.forecast" if subject.is_forecast else "subtitle.run"
    return words.of(key, id=run.id, begun=moment(run.begun_unix_s))


def _badges(subject: Subject, words: Words) -> Iterator[Cell]:
    account = subject.account
    if subject.is_forecast:
        yield Cell(text=words.of("badge.forecast"), basis="modelled")
    elif account is not None and account.energy.coverage is not None:
        yield Cell(text=words.of("badge.measured", share=percent(account.energy.coverage)), basis="measured")
    if account is not None:
        yield Cell(text=words.of("badge.data", version=account.data_version))
    run = subject.run
    sha256 = run.evidence.journal_sha256 or run.evidence.plan_sha256
    if sha256 and not subject.is_project:
        yield Cell(text=words.of("badge.sha", sha=sha256[:12]))


def _version() -> str:
    from tonne import __version__  # noqa: PLC0415 - the package's names are resolved late

    return __version__
