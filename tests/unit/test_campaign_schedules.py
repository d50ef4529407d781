"""Random fault schedules: repeatable, complete, and no licence twice."""

from collections import Counter

from tests.campaign.__main__ import SCHEDULES, SEED
from tests.campaign.excuses import excuses
from tests.campaign.faults import FAULTS, LIMITS, PROBES, probe_for
from tests.campaign.kinds import (
    ALL_KINDS,
    BESIDE_NODES,
    DECK,
    KINDS,
    NODE_DECK,
    NODE_KINDS,
    QUEUES,
    QUIET,
    SHARED_KINDS,
    SMS,
    VOICE,
)
from tests.campaign.nodes import NODE_FAULTS
from tests.campaign.runs import Run, Struck, measure
from tests.campaign.schedules import Planned, Schedule, draw, wish
from tests.campaign.shared import SHARED_FAULTS

ALL = [draw(seed, 50) for seed in range(SEED, SEED + SCHEDULES)]
"""What `make campaign` does unless it is asked for something else."""


def planned(kind: str, variant: str = "", at: float = 0.0) -> Planned:
    return Planned(kind, at, 1.0, variant, 0)


def struck(kind: str, began: float, healed: float, recovered_after: float) -> Struck:
    return Struck(kind, "", began, healed, recovered_after)


def test_a_seed_always_makes_the_same_schedule() -> None:
    """So a schedule that failed can be seen again."""
    assert draw(7, 50) == draw(7, 50)


def test_another_seed_makes_another_schedule() -> None:
    """Or all of them would find the same."""
    assert len(ALL) == len({repr((each.faults, each.sendings)) for each in ALL})


def test_every_kind_of_fault_has_somebody_who_makes_it() -> None:
    """And nobody makes one that is never drawn."""
    assert set(KINDS) == set(FAULTS) == set(DECK)
    assert set(SHARED_KINDS) == set(SHARED_FAULTS)
    assert set(NODE_KINDS) == set(NODE_FAULTS) == set(NODE_DECK)
    assert set(ALL_KINDS) >= {*LIMITS, *PROBES, *BESIDE_NODES}


def test_couriers_that_share_a_ledger_meet_what_happens_to_that() -> None:
    """And nothing that happens to a file; each kind often."""
    shared = [draw(seed, 10, replicas=3) for seed in range(200)]
    times = Counter(fault.kind for schedule in shared for fault in schedule.faults)
    assert {*FAULTS, *SHARED_FAULTS} - {"ledger-locked", "ledger-full", "ledger-corrupt"} == set(
        times
    )
    assert {} == {kind: times[kind] for kind in SHARED_KINDS if times[kind] < 9}


def test_every_kind_of_fault_happens_a_dozen_times() -> None:
    """Those that take long, too."""
    times = Counter(fault.kind for schedule in ALL for fault in schedule.faults)
    assert {} == {kind: times[kind] for kind in KINDS if times[kind] < 12}


def test_every_variant_of_a_fault_can_be_drawn() -> None:
    """None is only written down."""
    drawn = {(fault.kind, fault.variant) for seed in range(4000) for fault in draw(seed, 1).faults}
    expected = {(name, each) for name, kind in KINDS.items() for each in kind.variants}
    assert expected == drawn


def test_a_campaign_on_a_cluster_breaks_each_node_in_every_way() -> None:
    """That of most leaders, the courier's own, and one that is neither."""
    drawn = {
        (fault.kind, fault.variant)
        for seed in range(SEED, SEED + 64)
        for fault in draw(seed, 1, cluster=True).faults
    }
    expected = {(name, each) for name, kind in NODE_KINDS.items() for each in kind.variants}
    assert expected == drawn & expected


def test_a_campaign_sends_ten_thousand_commands() -> None:
    """The repeats not counted."""
    assert 10_000 <= sum(len(schedule.wishes) for schedule in ALL)


def test_one_message_in_twenty_is_a_repeat() -> None:
    """More or less; the dice decide."""
    repeated = sum(len(each.sendings) - len(each.wishes) for each in ALL)
    assert 0.03 < repeated / sum(len(each.sendings) for each in ALL) < 0.07


def test_some_commands_have_little_time() -> None:
    """One in ten, and each copy says the same."""
    sendings = [each for schedule in ALL for each in schedule.sendings]
    short = [each for each in sendings if each.expires_in is not None]
    assert 0.07 < len(short) / len(sendings) < 0.13
    assert len({(each.wish.id, each.expires_in) for each in sendings}) == len(
        {each.wish.id for each in sendings}
    )


def test_several_couriers_get_duplicates_at_once_and_later() -> None:
    """Beyond the repeats: half of them within a delivery's time, half of them up to a retry's."""
    for seed in range(20):
        one, shared = draw(seed, 50), draw(seed, 50, replicas=3)
        assert len(shared.wishes) <= 50 <= len(one.sendings) < len(shared.sendings)
    late = [
        each.at - min(other.at for other in schedule.sendings if other.wish.id == each.wish.id)
        for schedule in (draw(seed, 50, replicas=3) for seed in range(40))
        for each in schedule.sendings
    ]
    twice = sorted(late)[-sum(each > 0 for each in late) :]
    assert 4.0 + 2.0 >= max(twice) > 3.0
    assert 100 < len(twice)


def test_no_licence_is_used_twice() -> None:
    """In no schedule of the campaign, nor by its probes."""
    wishes = [each for schedule in ALL for each in schedule.wishes]
    keys = [each.key for each in wishes if each.key]
    assert len(keys) == len(set(keys))
    assert len(wishes) == len({each.id for each in wishes})


def test_all_commands_go_to_all_their_appliances() -> None:
    """Two queries and two that write, on each that can do it."""
    pairs = {(each.type, each.appliance) for each in ALL[0].wishes}
    assert 2 * len(SMS) + 3 * len(VOICE) == len(pairs)


def test_everything_is_sent_and_struck_within_two_seconds() -> None:
    """In the order of time, so that faults meet commands that are under way."""
    for schedule in ALL:
        sent = [each.at for each in schedule.sendings]
        began = [each.at for each in schedule.faults]
        assert sorted(sent) == sent
        assert sorted(began) == began
        assert 2.0 >= max(sent + began)


def test_one_to_three_faults_happen_and_only_one_of_them_takes_long() -> None:
    """Or a campaign would take hours."""
    counts = Counter(len(schedule.faults) for schedule in ALL)
    assert {1, 2, 3} == set(counts)
    for schedule in ALL:
        assert 1 >= len([each for each in schedule.faults if each.seconds >= 7])


def test_a_lost_ledger_has_its_schedule_for_itself() -> None:
    """Without repeats: a first delivery that comes twice looks like two commands without it."""
    alone = [each for each in ALL if any(KINDS[fault.kind].alone for fault in each.faults)]
    assert alone
    for schedule in alone:
        assert 1 == len(schedule.faults)
        assert len(schedule.sendings) == len(schedule.wishes)


def test_one_kind_can_be_asked_for() -> None:
    """For whoever looks into it."""
    kinds = {fault.kind for seed in range(9) for fault in draw(seed, 5, only="link-cut").faults}
    assert {"link-cut"} == kinds


def test_a_kind_can_be_left_out() -> None:
    """Where it cannot be had, nothing of it is drawn, neither first nor later."""
    drawn = [draw(seed, 5, without=["clock-stepped"]) for seed in range(200)]
    assert "clock-stepped" not in {fault.kind for each in drawn for fault in each.faults}


def test_a_probe_asks_what_the_fault_was_about() -> None:
    """The queue that was deleted, the appliance that was off, the ledger; else a quiet balance."""
    assert ("query-devices", VOICE[0]) == probe_for(planned("queue-deleted", QUEUES[2]))
    assert ("activate-sms-license", QUIET) == probe_for(
        planned("consumer-cancelled", f"told {QUEUES[1]}")
    )
    assert ("query-devices", "fvc-2") == probe_for(planned("appliance-off", "fvc-2"))
    assert ("query-sms-balance", "fac-1") == probe_for(planned("answers-lost", "fac-1"))
    assert ("activate-sms-license", QUIET) == probe_for(planned("ledger-full"))
    assert ("query-sms-balance", QUIET) == probe_for(planned("broker-killed"))


def test_an_unknown_is_excused_only_where_nobody_can_know() -> None:
    """A balance can be read back, an apply cannot; a lost ledger hides both."""
    apply = wish("apply-voice-license", "fvc-1", "a")
    activate = wish("activate-sms-license", "fac-1", "b")

    def why(command: str, *faults: Planned) -> str | None:
        asked = {"apply": apply, "activate": activate}[command]
        return excuses(Schedule(1, (), faults))(asked)

    assert why("apply") is None
    assert why("apply", planned("broker-killed")) is None
    assert why("apply", planned("answers-lost", "fvc-2")) is None
    assert (why("apply", planned("answers-lost", "fvc-1")) or "").startswith("answers-lost")
    assert (why("apply", planned("service-killed")) or "").startswith("service-killed")
    assert why("activate", planned("service-killed"), planned("answers-lost", "fac-1")) is None
    assert (why("activate", planned("ledger-corrupt")) or "").startswith("ledger-corrupt")


def test_a_recovery_counts_when_nothing_else_was_wrong() -> None:
    """Two faults at once, or one that was not over, say nothing about either."""
    run = Run(1, faults=[struck("a", 0, 1, 0.5), struck("b", 1.4, 2, 1), struck("c", 4, 5, 1)])
    measure(run, {})
    assert [False, True, True] == [each.alone for each in run.faults]


def test_a_recovery_that_takes_too_long_is_a_failure() -> None:
    """If it is the fault's own."""
    run = Run(1, faults=[struck("a", 0, 1, 4), struck("b", 2, 3, 4), struck("c", 9, 9, 4)])
    measure(run, {"a": 5, "b": 3, "c": 3})
    assert 1 == len(run.problems)
    assert run.problems[0].startswith("c: ")
