"""Whether rules come and go without a trace: random sequences of decisions, with kills at random moments.

Run it with `python -m benchmarks.rule_safety [sequences] [seed]`. In each sequence a run's rules are
approved, edited, rejected and rolled back by processes that are killed (SIGKILL) after a named step of the
decision or before any change of the file system, or not at all. After each, a new program must find exactly
the state before or after the decision, and every approval is rolled back, after which the SHA-256 of every
active rule must be what it was. A tenth of the sequences are rollouts, which begin, go on, are rolled back
and stopped in the same way; once all are stopped, no place holds a rule of theirs. The first sequence that
fails ends it with its smallest form.
"""

from __future__ import annotations

import shutil
import sys
import time

from hypothesis import HealthCheck, given, seed, settings

from tests.retry.decisions import copied, memory_directory, workspace_at
from tests.retry.rollout_sequences import Act, play_rollouts, rollout_sequences
from tests.retry.sequences import Counted, Decision, play, sequences
from tests.retry.test_rollout import workspace_with_targets
from triage_tui.retry.rules import proposed
from triage_tui.retry.sharing import rollout as rolling

SEQUENCES = 1000


def main() -> None:
    """Play the sequences and print what came of them."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SEQUENCES
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 20260131
    # It starts a process for each approval, before anything of the decision is on disk.
    for check in ("first_error", "check_rule"):
        setattr(proposed, check, lambda *_: None)
    vars(rolling)["check_named"] = lambda _workspace, rules, **_: {rule.name: [] for rule in rules}
    counted, rolled = Counted(), Counted()
    since = time.monotonic()
    with memory_directory() as directory:
        template = directory / "template"
        run_id = workspace_at(template)
        of_rollouts = directory / "rollouts"
        rollout_run = workspace_with_targets(of_rollouts)
        same = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))

        @seed(number)
        @settings(same, max_examples=max(1, count - count // 10))
        @given(sequence=sequences)
        def one(sequence: list[Decision]) -> None:
            root = copied(template, directory / "played")
            try:
                play(root, run_id, sequence, counted)
            finally:
                shutil.rmtree(root)

        @seed(number)
        @settings(same, max_examples=max(1, count // 10))
        @given(sequence=rollout_sequences)
        def rollouts(sequence: list[Act]) -> None:
            root = copied(of_rollouts, directory / "rolled")
            try:
                play_rollouts(root, rollout_run, sequence, rolled)
            finally:
                shutil.rmtree(root)

        one()
        rollouts()
    print("apply + roll back = identity on bytes, by SHA-256, in random sequences with kills")
    print(f"  sequences, all of them exact     {counted.sequences:>7}  (seed {number})")
    print(f"  decisions                        {counted.decisions:>7}")
    print(f"  processes killed                 {counted.killed:>7}")
    print(f"    the decision had taken place   {counted.took_place_when_killed:>7}")
    print(f"  approvals rolled back, identical {counted.identities:>7}")
    print(f"  sequences of rollouts, all exact {rolled.sequences:>7}")
    print(f"  decisions                        {rolled.decisions:>7}")
    print(f"  processes killed                 {rolled.killed:>7}")
    print(f"  all stopped, identical           {rolled.identities:>7}")
    print(f"  seconds                          {time.monotonic() - since:>7.0f}")


if __name__ == "__main__":
    main()
