import pytest

from tonne.describe.task import Task
from tonne.errors import DataError
from tonne.train.labelled_reading import read_labelled
from tonne.train.readers_tables import quotes_count

TASK = Task(name="classification")


def texts(path):
    return [(one.text, one.label) for one in read_labelled(path, None, TASK)]


@pytest.fixture
def written(tmp_path):
    def given(content):
        path = tmp_path / "rows.tsv"
        path.write_bytes(content.encode())
        return path

    return given


def test_a_lone_quotation_mark_is_part_of_the_text(written):
    # Read with quotes, the second row would swallow the third: as many values as the heading, and a row lost.
    path = written('label\ttext\n1\t"It was fine\n0\tit was not"\n1\tas 5\' 10" tall\n')
    assert texts(path) == [('"It was fine', "1"), ('it was not"', "0"), ("as 5' 10\" tall", "1")]


def test_quotation_marks_that_are_not_doubled_inside_are_text(written):
    path = written('label\ttext\n1\t"Yes," he said, "no"\n0\t"plain"\n')
    assert texts(path) == [('"Yes," he said, "no"', "1"), ('"plain"', "0")]


def test_values_quoted_throughout_lose_their_marks(written):
    path = written('label\ttext\n1\t"He said ""no"" and left"\r\n"0"\tnothing\r\n')
    assert texts(path) == [('He said "no" and left', "1"), ("nothing", "0")]


def test_a_quoted_value_may_go_over_lines_and_hold_tabs(written):
    path = written('label\ttext\n1\t"one\nand\nthen\ttwo"\n0\tthree\n')
    assert quotes_count(path)
    assert texts(path) == [("one\nand\nthen\ttwo", "1"), ("three", "0")]


def test_a_row_too_long_is_told_by_its_own_line_whatever_quotes_stand_before(written):
    path = written('label\ttext\n1\t"It was fine\n0\tit\twas\n')
    with pytest.raises(DataError, match=r"line 3 has 3 of 2 values"):
        read_labelled(path, None, TASK)
