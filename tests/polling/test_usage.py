"""The samples of budget use."""

from exporter.polling.budget import SAMPLE_SECONDS, SAMPLES, Sample, Usage


def test_each_sample_of_the_usage_is_the_maximum_of_five_seconds() -> None:
    usage = Usage()
    for used, now in [(3, 100.0), (9, 101.0), (4, 104.9), (5, 105.0), (2, 106.0)]:
        usage.note(used, now)
    assert usage.samples(106.0) == (Sample(100.0, 9), Sample(105.0, 5))


def test_before_anything_was_noted_there_are_no_samples() -> None:
    assert Usage().samples(100.0) == ()


def test_samples_are_kept_for_ten_minutes() -> None:
    usage = Usage()
    for second in range(2000):
        usage.note(second, float(second))
    samples = usage.samples(1999.0)
    assert SAMPLES * SAMPLE_SECONDS == 600
    assert len(samples) == SAMPLES
    assert (samples[0], samples[-1]) == (Sample(1400.0, 1404), Sample(1995.0, 1999))


def test_samples_older_than_ten_minutes_are_left_out_after_a_long_gap() -> None:
    usage = Usage()
    usage.note(7, 100.0)
    usage.note(8, 650.0)
    assert usage.samples(700.0) == (Sample(100.0, 7), Sample(650.0, 8))
    assert usage.samples(701.0) == (Sample(650.0, 8),)
