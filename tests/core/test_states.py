"""The state machine as a whole: what must never be possible, and what must always be."""

from worker.core.states import FINAL, TRANSITIONS, Actor, State, diagram


def test_nothing_leads_from_in_doubt_to_sending() -> None:
    """The one edge that must not exist: a new create needs confirmed absence, which leads to waiting first."""
    assert [
        way.name for way in TRANSITIONS if State.IN_DOUBT in way.leaves and way.enters is State.SENDING
    ] == []


def test_only_one_transition_enters_sending_and_it_leaves_unsent_states() -> None:
    """A create goes out only from states in which nothing can exist."""
    ways = [way for way in TRANSITIONS if way.enters is State.SENDING]
    assert [(way.name, way.leaves) for way in ways] == [("send", frozenset({State.ACCEPTED, State.WAITING}))]


def test_only_operators_leave_held_and_final_states() -> None:
    """A machine never takes up again what a person must decide or what is closed; it may bring what was missing."""
    machines = [way for way in TRANSITIONS if way.by is not Actor.OPERATOR]
    assert [way for way in machines if way.leaves & FINAL] == []
    assert [(way.name, way.enters) for way in machines if State.HELD in way.leaves] == [
        ("late_proof", State.PROVISIONED)
    ]


def test_provisioned_is_left_by_nobody() -> None:
    """An account id that is recorded stays recorded."""
    assert [way.name for way in TRANSITIONS if State.PROVISIONED in way.leaves] == []


def test_nobody_but_the_sender_or_its_death_leaves_sending() -> None:
    """An operator cannot take a request whose create is under way."""
    assert {way.by for way in TRANSITIONS if State.SENDING in way.leaves} == {Actor.EXECUTION, Actor.UPKEEP}


def test_every_open_state_has_a_way_to_an_end() -> None:
    """From every state that is not final a final one can be reached."""
    reaches = set(FINAL)
    for _ in State:
        reaches |= {state for way in TRANSITIONS if way.enters in reaches for state in way.leaves}
    assert reaches == set(State)


def test_names_are_unique_and_explained() -> None:
    """Each transition has a name of its own and a meaning."""
    assert len({way.name for way in TRANSITIONS}) == len(TRANSITIONS)
    assert all(way.meaning for way in TRANSITIONS)


def test_the_diagram_draws_every_way() -> None:
    """The picture in the documents is generated from the same data."""
    drawn = diagram()
    for way in TRANSITIONS:
        for state in way.leaves:
            assert f"{state} --> {way.enters}: {way.name} ({way.by})" in drawn
