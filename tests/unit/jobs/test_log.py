"""A log followed over connections that break, end early or fall silent, or cannot be made."""

import pytest

from rnnlane.errors import ConfigError, JobError
from rnnlane.jobs.client import Job, UnreachableError
from rnnlane.jobs.log import GIVE_UP_AFTER_S, RENEW_AFTER_S, follow

LOG = "".join(f"line {number}\n" for number in range(1, 8))
RUNNING, DONE = Job("x", "RUNNING"), Job("x", "SUCCEEDED", exit_code=0)
LOST = UnreachableError("the cluster does not answer")


class Scripted:
    """Each connection is a list of pieces, or of errors to raise; so are the states."""

    def __init__(self, *connections, states=(), log=LOG):
        self._connections = list(connections)
        self._states = list(states)
        self._log = log
        self.opened = 0

    def tail(self, submission_id):
        self.opened += 1
        for piece in self._connections.pop(0) if self._connections else [LOST]:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def job(self, submission_id):
        state = self._states.pop(0) if self._states else DONE
        if isinstance(state, Exception):
            raise state
        return state

    def log(self, submission_id):
        if isinstance(self._log, Exception):
            raise self._log
        return self._log


def followed(source):
    written, notes = [], []
    job = follow(source, "x", write=written.append, note=notes.append, pause=lambda _: None)
    return job, "".join(written), notes


@pytest.mark.parametrize("cut", range(1, len(LOG) + 1))
def test_wherever_a_connection_breaks_each_character_comes_once(cut):
    source = Scripted([LOG[:cut], LOST], [LOG[:5], LOG[5:]])
    job, text, notes = followed(source)
    assert (job, text) == (DONE, LOG)
    assert len(notes) == 2
    assert "retrying" in notes[0]
    assert notes[1] == "connected again"


@pytest.mark.parametrize("cut", [1, 3, len(LOG)])
def test_a_connection_that_ends_quietly_while_the_job_runs_is_opened_again(cut):
    source = Scripted([LOG[:cut]], [LOG], states=[RUNNING, DONE])
    assert followed(source) == (DONE, LOG, [])
    assert source.opened == 2


def test_the_end_of_the_log_comes_though_the_last_connection_ended_before_it():
    assert followed(Scripted([LOG[:10]])) == (DONE, LOG, [])


def test_an_outage_is_noted_once_however_many_tries_it_takes():
    source = Scripted([LOG[:10], LOST], *[[LOST]] * 9, [LOG])
    job, text, notes = followed(source)
    assert (job, text, len(notes)) == (DONE, LOG, 2)


def test_an_answer_that_fails_during_silence_counts_as_an_outage():
    source = Scripted([LOG[:10], ""], [LOG], states=[LOST, DONE])
    job, text, notes = followed(source)
    assert (job, text, len(notes)) == (DONE, LOG, 2)


def test_a_silent_connection_is_renewed_without_a_note():
    silence = [""] * int(2 * RENEW_AFTER_S)
    source = Scripted([LOG[:10], *silence], [LOG], states=[RUNNING] * 13 + [DONE])
    assert followed(source) == (DONE, LOG, [])
    assert source.opened == 2


def test_a_job_that_ends_while_its_log_is_silent_is_noticed():
    source = Scripted([LOG, "", "", ""], states=[RUNNING, DONE, DONE])
    assert followed(source) == (DONE, LOG, [])
    assert source.opened == 1


def test_a_log_that_is_gone_with_its_node_does_not_hide_how_the_job_ended():
    job, text, notes = followed(Scripted([LOG[:10]], log=LOST))
    assert (job, text) == (DONE, LOG[:10])
    assert "the end of the log is lost" in notes[0]


def test_a_cluster_that_stays_away_is_given_up_in_the_end():
    waited = []
    with pytest.raises(UnreachableError):
        follow(Scripted(), "x", write=print, note=print, pause=waited.append)
    assert GIVE_UP_AFTER_S <= sum(waited) <= GIVE_UP_AFTER_S + 10


def test_a_cluster_that_forgot_the_job_meanwhile_is_a_fault_and_not_bad_input():
    forgotten = ConfigError("the cluster has no job 'x'")
    with pytest.raises(ConfigError):
        followed(Scripted([forgotten]))
    with pytest.raises(JobError, match="has no job"):
        followed(Scripted(["line 1\n", LOST], [forgotten]))


def test_a_job_that_does_not_start_says_so_ever_more_rarely():
    pending = Job("x", "PENDING")
    source = Scripted([""] * 12 + [LOG], states=[pending] * 11 + [RUNNING])
    _, text, notes = followed(source)
    assert text == LOG
    assert [note.partition(":")[0].split()[-2] for note in notes] == ["5", "10", "20", "40"]
