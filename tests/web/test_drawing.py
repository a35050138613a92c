"""The paths of the charts."""

from exporter.web.drawing import Chart, Strip, chart, strip

NOW = 10_000.0


def test_without_samples_there_is_no_chart() -> None:
    assert chart((), 100, NOW) is None


def test_a_chart_goes_from_ten_minutes_ago_to_now_and_from_none_to_the_limit() -> None:
    history = tuple((NOW - 600 + 10 * number, 25 if number else 100) for number in range(60))
    drawn = chart(history, 100, NOW)
    assert drawn is not None
    assert drawn.line.startswith("M0.0,0.0 10.0,75.0 ")
    assert drawn.line.endswith(" 590.0,75.0 600.0,75.0")
    assert drawn.area == f"M0.0,100L{drawn.line[1:]}L600.0,100Z"
    assert (drawn.least, drawn.most) == (25, 100)


def test_nothing_is_drawn_for_a_gap_between_samples() -> None:
    history = ((NOW - 500, 10), (NOW - 495, 10), (NOW - 5, 20))
    assert chart(history, 100, NOW) == Chart(
        area="M100.0,100L100.0,90.0 105.0,90.0L105.0,100Z"
        "M595.0,100L595.0,80.0 600.0,80.0L600.0,100Z",
        line="M100.0,90.0 105.0,90.0M595.0,80.0 600.0,80.0",
        least=10,
        most=20,
    )


def test_more_slots_than_a_new_limit_allows_stay_within_the_picture() -> None:
    drawn = chart(((NOW - 5, 80),), 40, NOW)
    assert drawn is not None
    assert drawn.line == "M595.0,0.0 600.0,0.0"
    assert drawn.most == 80


def test_polls_are_drawn_from_the_right_in_runs() -> None:
    assert strip([]) == Strip("", "")
    assert strip([True] * 20) == Strip("M0 12.5h100", "")
    assert strip([True, True, False, True]) == Strip("M80 12.5h10M95 12.5h5", "M90 8h5")
