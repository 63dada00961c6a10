"""The window of flow control, step by step as nats-server takes them."""

from midge.engine.consumers.window import LIMIT, Window

KIB = 1 << 10


def test_it_begins_with_a_sixteenth() -> None:
    assert Window().size == LIMIT // 16 == 2 << 20
    assert Window(8).size == 1


def test_the_receiver_is_asked_when_more_than_half_is_on_the_way() -> None:
    window = Window(160 * KIB)  # 10 KiB to begin with
    assert not window.add(5 * KIB)
    assert window.add(1)
    assert not window.is_full


def test_one_question_at_a_time_and_nothing_past_the_window() -> None:
    window = Window(160 * KIB)
    assert window.add(6 * KIB)
    window.ask(b"$JS.FC.S.C.abcd")
    assert not window.add(4 * KIB)
    assert not window.is_full
    assert not window.add(1)
    assert window.is_full


def test_an_answer_takes_off_what_was_on_the_way_and_doubles_the_window() -> None:
    window = Window(160 * KIB)
    window.add(6 * KIB)
    window.ask(b"q")
    window.add(1 * KIB)
    assert window.answer(b"q")
    assert (window.sent, window.size, window.question) == (1 * KIB, 20 * KIB, b"")


def test_only_the_newest_question_has_an_answer_and_only_one() -> None:
    window = Window(160 * KIB)
    assert not window.answer(b"")
    assert not window.answer(b"q")
    window.add(6 * KIB)
    window.ask(b"q")
    assert not window.answer(b"p")
    assert window.answer(b"q")
    assert not window.answer(b"q")
    assert window.size == 20 * KIB


def test_it_does_not_grow_past_the_limit() -> None:
    window = Window(160 * KIB)
    for number in range(9):
        window.add(window.size)
        window.ask(b"%d" % number)
        assert window.answer(b"%d" % number)
        assert window.sent == 0
    assert window.size == 160 * KIB


def test_what_was_sent_past_a_whole_window_since_the_question_is_taken_off_with_it() -> None:
    window = Window(16)  # one byte: nats-server's arithmetic where a message is larger than the window
    assert window.add(5)
    window.ask(b"q")
    window.add(5)
    window.answer(b"q")
    assert window.sent == 0


def test_a_question_may_be_asked_with_nothing_on_the_way() -> None:
    """As the acknowledgement of a consumer whose receiver acknowledges by answering."""
    window = Window()
    window.ask(b"q")
    assert window.answer(b"q")
    assert window.sent == 0
