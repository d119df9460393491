"""Tables as files, as others read them."""

import io
import json

import pandas as pd

from dashboard import downloads

FRAME = pd.DataFrame(
    [
        {"name": "=1+1", "accuracy": 0.5, "tags": ["a", "b"]},
        {"name": 'x "y",\nz', "accuracy": None, "tags": []},
    ]
)


def test_csv_reads_back_and_holds_no_formula():
    back = pd.read_csv(io.BytesIO(downloads.written(FRAME, "csv")))
    assert list(back["name"]) == ["'=1+1", 'x "y",\nz']
    assert back["tags"][0] == "a, b"
    assert pd.isna(back["accuracy"][1])


def test_json_and_parquet_keep_text_as_it_is():
    rows = json.loads(downloads.written(FRAME, "json"))
    assert rows[0] == {"name": "=1+1", "accuracy": 0.5, "tags": ["a", "b"]}
    assert rows[1]["accuracy"] is None
    back = pd.read_parquet(io.BytesIO(downloads.written(FRAME, "parquet")))
    assert list(back["name"]) == list(FRAME["name"])
