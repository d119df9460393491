"""Text from users is shown as it is."""

import re

import pytest

from dashboard import words

# As its Markdown turns them into one sign each.
STREAMLIT_SIGNS = re.compile(r"(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)")


@pytest.mark.parametrize("text", ["a <= b", "1 -> 2", "-- dashes", "x <-> y", "q ~= z", ">="])
def test_plain_keeps_signs_from_becoming_others_and_a_time_as_it_can_be_copied(text):
    assert not STREAMLIT_SIGNS.search(words.plain(text).replace("\\", ""))
    assert "T09:30," in words.plain("2025-01-31T09:30, or 7d").replace("\\", "")
    assert ":smile:" not in words.plain(":smile:").replace("\\", "")


@pytest.mark.parametrize("text", ["**b**", "[l](http://x)", "$x$", ":smile:", "<b>", "a\nb", "`c`"])
def test_plain_leaves_no_mark_of_markdown_bare(text):
    escaped = words.plain(text)
    bare = [c for i, c in enumerate(escaped) if c in "*[]()$:<>`" and escaped[i - 1] != "\\"]
    assert bare == []
    assert "\n" not in escaped
