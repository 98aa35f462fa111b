"""What a command to the running service does; called in the control thread (outputs/control.py)."""

from __future__ import annotations

from b2g_rt.contracts.control import CommandMessage, ReplyMessage
from b2g_rt.contracts.messages import VERSION
from b2g_rt.errors import CommandError
from b2g_rt.service.adaptation import Adaptation
from b2g_rt.service.ingest import IngestStage
from b2g_rt.service.progress import Progress

_BY_COMMAND = "command"


class CommandHandler:
    """Carries commands out.

    Parameters
    ----------
    adaptation : Adaptation
    ingest : IngestStage
    progress : Progress
    """

    def __init__(self, adaptation: Adaptation, ingest: IngestStage, progress: Progress) -> None:
        self._adaptation = adaptation
        self._ingest = ingest
        self._progress = progress

    def __call__(self, command: CommandMessage) -> ReplyMessage:
        """Carry out one command; what cannot be done is said in the reply."""
        try:
            return self._reply(self._done(command), done=True)
        except CommandError as error:
            return self._reply(str(error), done=False)

    def _done(self, command: CommandMessage) -> str:
        match command.action:
            case "start":
                return self._adaptation.start(_BY_COMMAND)
            case "freeze":
                return self._adaptation.freeze(_BY_COMMAND)
            case "resume":
                return self._adaptation.resume(_BY_COMMAND)
            case "rollback":
                return self._adaptation.roll_back(command.n_trials, _BY_COMMAND)
            case "new-day":
                self._ingest.request_day()
                return "a day starts with the next sample"
            case "status":
                return self._adaptation.status()

    def _reply(self, text: str, *, done: bool) -> ReplyMessage:
        progress = self._progress
        return ReplyMessage(VERSION, done, text, progress.adaptation, progress.n_trials_learnt)
