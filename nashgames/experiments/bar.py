"""A bar that shows in a notebook how far an experiment is; it is driven by the runner's events alone."""

import html
import time

from nashgames.experiments.events import Advanced, BatchFinished, Event, GameReady, Noted, Planned, Refereed
from nashgames.reprs import Live

# A notebook redraws what changed, and nobody reads faster (seconds).
_APART = 0.2
# Sentences that stay under the bar: more would push it off the screen.
_NOTES = 5


class Bar:
    """Finished runs of all as a bar, what is done now, and what the runner says; outside a notebook nothing."""

    def __init__(self) -> None:
        self._runs, self._done, self._batch = 0, 0, 0.0
        self._doing = "planning"
        self._notes: list[str] = []
        self._shown = 0.0
        self._live = Live(self._html)

    def show(self, event: Event) -> None:
        """Take note of an event, and show how far things are."""
        match event:
            case Planned(runs=runs, reused=reused):
                self._runs, self._done, self._batch = runs, reused, 0.0
            case GameReady(title=title) | Refereed(title=title):
                self._doing = f"{title}: exact equilibrium"
            case Advanced():
                self._batch = event.runs * event.queries / max(event.budget, 1)
                self._doing = (
                    f"{event.label}: {event.queries:,} of {event.budget:,} queries, distance {event.distance:.1e}"
                )
            case BatchFinished(runs=runs):
                self._done, self._batch = self._done + len(runs), 0.0
            case Noted(text=text):
                self._notes = [*self._notes, text][-_NOTES:]
        if time.monotonic() - self._shown >= _APART:
            self._shown = time.monotonic()
            self._live.refresh()

    def close(self, what: str) -> None:
        """Say how it ended."""
        self._doing = what
        self._live.refresh()

    def _html(self) -> str:
        at = min(self._done + self._batch, self._runs)
        bar = f'<progress max="{max(self._runs, 1)}" value="{at:.2f}" style="width: 20em"></progress>'
        count = f"{self._done:,} of {self._runs:,} runs" if self._runs else ""
        notes = "".join(f"<br><small>{html.escape(note)}</small>" for note in self._notes)
        return f"<div>{bar} {count} <small>{html.escape(self._doing)}</small>{notes}</div>"
